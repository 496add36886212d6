// A peer for the fan-out benchmark: the library centrifuge publishes one message, read from a file, to one channel
// that every connection is subscribed to. Each byte on stdin is a cycle. Its clients speak centrifuge's own JSON
// protocol; the benchmark counts the frames that they get.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

const channel = "quotes"

func main() {
	message, err := os.ReadFile(os.Args[1])
	check(err)
	node, err := centrifuge.New(centrifuge.Config{})
	check(err)
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}},
		}, nil
	})
	check(node.Run())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	// The benchmark's clients answer no pings.
	pings := centrifuge.PingPongConfig{PingInterval: -1}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{PingPongConfig: pings})
	go func() { check(http.Serve(listener, handler)) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	requests := make([]byte, 64)
	for {
		count, err := os.Stdin.Read(requests)
		if err != nil {
			return
		}
		for range count {
			_, err := node.Publish(channel, message)
			check(err)
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
