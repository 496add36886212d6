class RealtimeStreamClient {
    constructor(url = 'ws://localhost:8765') {
        this.url = url;
        this.ws = null;
        this.subscribers = [];
        this.reconnectAttempts = 0;
        this.maxReconnectAttempts = 5;
    }

    connect() {
        this.ws = new WebSocket(this.url);
        
        this.ws.onopen = () => {
            console.log('✅ Connected to real-time stream');
            this.reconnectAttempts = 0;
            
            // Subscribe to updates
            this.send({ type: 'subscribe' });
        };

        this.ws.onmessage = (event) => {
            const data = JSON.parse(event.data);
            this.handleMessage(data);
        };

        this.ws.onclose = () => {
            console.log('🔌 Disconnected from stream');
            this.attemptReconnect();
        };

        this.ws.onerror = (error) => {
            console.error('❌ WebSocket error:', error);
        };
    }

    handleMessage(data) {
        switch (data.type) {
            case 'stock_updates':
                this.notifySubscribers('stock_updates', data);
                break;
            case 'connection':
                this.notifySubscribers('connection', data);
                break;
            case 'status':
                this.notifySubscribers('status', data);
                break;
            case 'error':
                console.error('Server error:', data.message);
                break;
        }
    }

    subscribe(eventType, callback) {
        if (!this.subscribers[eventType]) {
            this.subscribers[eventType] = [];
        }
        this.subscribers[eventType].push(callback);
    }

    notifySubscribers(eventType, data) {
        if (this.subscribers[eventType]) {
            this.subscribers[eventType].forEach(callback => callback(data));
        }
    }

    send(message) {
        if (this.ws && this.ws.readyState === WebSocket.OPEN) {
            this.ws.send(JSON.stringify(message));
        }
    }

    requestStatus() {
        this.send({ type: 'status' });
    }

    ping() {
        this.send({ type: 'ping' });
    }

    attemptReconnect() {
        if (this.reconnectAttempts < this.maxReconnectAttempts) {
            this.reconnectAttempts++;
            console.log(`🔄 Reconnecting... (${this.reconnectAttempts}/${this.maxReconnectAttempts})`);
            setTimeout(() => this.connect(), 2000 * this.reconnectAttempts);
        }
    }

    disconnect() {
        if (this.ws) {
            this.ws.close();
        }
    }
}

// Usage example
const client = new RealtimeStreamClient();
client.connect();

// Subscribe to stock updates
client.subscribe('stock_updates', (data) => {
    console.log('📊 Received stock updates:', data.count, 'stocks');
    data.data.forEach(stock => {
        console.log(`${stock.symbol}: ${stock.price} (${stock.change_percent}%)`);
    });
});

// Subscribe to connection status
client.subscribe('connection', (data) => {
    console.log('🔗 Connection status:', data.status);
});
