/* The limit of a fan-out: what the kernel allows, without any language or library in the way.
 *
 *   fanout_limit serve FRAME_FILE    listens, prints its port; each byte on stdin sends the frame to every client
 *   fanout_limit drain PORT N SUBSCRIBE plain|deflate|lines STALLED
 *                                    N WebSocket clients that only count frames, or lines, where a server puts
 *                                    several messages into a frame, one a line; the first STALLED read nothing
 *                                    once all are there. It prints "ready NANOSECONDS LIVE": how long all took to
 *                                    arrive, and how many were told snapshot_end. Commands on stdin:
 *                                    "run CYCLES IN_FLIGHT" answers the nanoseconds of all, and of the median and
 *                                    the 99th percentile of cycles, from the asking to the last client's last byte;
 *                                    "read MILLISECONDS" takes what comes of itself and answers how many frames
 *
 * A drain asks the server for a cycle by one byte on descriptor 3, the other end of the server's stdin.
 * SUBSCRIBE is a file of one subscribe message a line; client i sends line i modulo their number.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 20000, MAX_CYCLES = 10000, AT_ONCE = 1000, EVENTS = 1024, QUIET_MS = 300, DEADLINE_MS = 20000 };
#define ASK \
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
static const char HELLO[] = ASK "\r\n", HELLO_DEFLATE[] = ASK "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
static const char WELCOME[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void die(const char *what) { perror(what); exit(1); }
static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static void watch(int poll, int fd, uint32_t events, int change) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(poll, change ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}
static char *slurp(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    char *data = malloc(*size + 1);
    if (fread(data, 1, *size, f) != *size) die("fread");
    data[*size] = 0;
    fclose(f);
    return data;
}

/* serve: one write for each client and cycle; what a socket does not take waits as a number of bytes */

static char *frame;
static size_t frame_size;
static struct client { int fd; uint64_t owed; size_t at; } clients[MAX_CLIENTS];
static int of_fd[MAX_CLIENTS * 4], count;

static void push(int poll, struct client *c) {
    int had_to_wait = 0;
    while (c->owed) {
        size_t want = frame_size - c->at;
        ssize_t done = write(c->fd, frame + c->at, want);
        if (done < 0) {
            if (errno != EAGAIN) { c->owed = 0; return; }
            had_to_wait = 1;
            break;
        }
        c->owed -= done;
        c->at = (c->at + done) % frame_size;
    }
    if (had_to_wait) watch(poll, c->fd, EPOLLIN | EPOLLOUT, 1);
}

static void greet(int poll, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    of_fd[fd] = count;
    clients[count++] = (struct client){.fd = fd};
    watch(poll, fd, EPOLLIN, 0);
    if (write(fd, WELCOME, sizeof WELCOME - 1) < 0) die("welcome");
}

static int serve(const char *path) {
    frame = slurp(path, &frame_size);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    if (bind(listener, (void *)&a, sizeof a) || listen(listener, 4096)) die("listen");
    getsockname(listener, (void *)&a, &size);
    printf("%d\n", ntohs(a.sin_port));
    fflush(stdout);
    watch(poll, listener, EPOLLIN, 0);
    watch(poll, 0, EPOLLIN, 0);
    struct epoll_event events[EVENTS];
    char scratch[65536];
    for (;;) {
        int n = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                greet(poll, listener);
            } else if (fd == 0) {
                ssize_t cycles = read(0, scratch, sizeof scratch);
                if (cycles <= 0) return 0;
                for (; cycles; cycles--)
                    for (int k = 0; k < count; k++) {
                        int idle = clients[k].owed == 0;
                        clients[k].owed += frame_size;
                        if (idle) push(poll, &clients[k]);
                    }
            } else {
                if (events[i].events & EPOLLIN && read(fd, scratch, sizeof scratch) <= 0) close(fd);
                else if (events[i].events & EPOLLOUT) {
                    watch(poll, fd, EPOLLIN, 1);
                    push(poll, &clients[of_fd[fd]]);
                }
            }
        }
    }
}

/* drain: count what arrives */

static const char LIVE[] = "\"type\":\"snapshot_end\""; /* short messages are never deflated */
enum { CARRY = sizeof LIVE - 2 };
static struct reader {
    const char *line;  /* what it says after the handshake; NULL when said */
    char carry[CARRY]; /* the end of the last read: LIVE may be cut in two */
    int carried;
    unsigned char head[10]; /* of the frame that comes now, so far */
    int head_size;
    uint64_t left; /* of its payload */
} readers[MAX_CLIENTS * 4]; /* by descriptor */
static int drain_poll, arriving, live, by_line;
static const char *hello = HELLO;
static uint64_t received; /* whole messages: the sizes of deflated ones vary */
static int64_t last_arrival;

static void send_masked(int fd, const char *text, size_t size) { /* the mask is zero: the bytes stay as they are */
    char data[8 + 65536] = {(char)0x81};
    size_t head = 2;
    if (size < 126) data[1] = (char)(0x80 | size);
    else { data[1] = (char)(0x80 | 126); data[2] = size >> 8; data[3] = size & 255; head = 4; }
    memcpy(data + head + 4, text, size);
    if (write(fd, data, head + 4 + size) < 0) die("subscribe");
}

static void look_for_live(struct reader *r, const char *data, size_t size) {
    char seam[2 * CARRY];
    size_t head = size < CARRY ? size : CARRY;
    memcpy(seam, r->carry, r->carried);
    memcpy(seam + r->carried, data, head);
    live += memmem(seam, r->carried + head, LIVE, sizeof LIVE - 1) || memmem(data, size, LIVE, sizeof LIVE - 1);
    r->carried = head;
    memcpy(r->carry, data + size - head, head);
}

static void count_frames(struct reader *r, const char *data, size_t size) {
    while (size) {
        if (r->left) {
            size_t part = size < r->left ? size : r->left;
            if (by_line)
                for (const char *at = data; (at = memchr(at, '\n', data + part - at)); at++) received++;
            data += part, size -= part, r->left -= part;
            received += !r->left;
            continue;
        }
        r->head[r->head_size++] = *data++, size--;
        int whole = r->head_size < 2 ? 2 : r->head[1] < 126 ? 2 : r->head[1] == 126 ? 4 : 10;
        if (r->head_size < whole) continue;
        if (whole == 2) r->left = r->head[1];
        else for (int i = 2; i < whole; i++) r->left = r->left << 8 | r->head[i];
        received += !r->left;
        r->head_size = 0;
    }
}

static size_t begin(int fd, struct reader *r, const char *reply, size_t size) { /* the answer comes in one piece */
    const char *end = memmem(reply, size, "\r\n\r\n", 4);
    if (!end || strncmp(reply, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "refused: %.*s\n", (int)size, reply);
        exit(1);
    }
    send_masked(fd, r->line, strcspn(r->line, "\n"));
    r->line = NULL;
    arriving--;
    return end + 4 - reply;
}

static int joining = 1;

static int take(int timeout_ms) {
    static char scratch[1 << 18];
    struct epoll_event events[EVENTS];
    int n = epoll_wait(drain_poll, events, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        ssize_t got = read(fd, scratch, sizeof scratch);
        if (got == 0) { fprintf(stderr, "a connection was closed\n"); exit(1); }
        if (got < 0) continue;
        struct reader *r = &readers[fd];
        size_t start = r->line ? begin(fd, r, scratch, got) : 0;
        count_frames(r, scratch + start, got - start);
        if (joining) look_for_live(r, scratch, got);
    }
    if (n) last_arrival = now_ns();
    return n;
}

/* A reader that sleeps is woken by the write that brings its first byte: up to a quarter of what a small write costs
 * the writer, and none of its doing, for real clients sleep on other machines. So while writers are measured, this one
 * does not sleep. */
static int take_awake(int timeout_ms) {
    int64_t deadline = now_ns() + timeout_ms * 1000000LL;
    int n = 0;
    while (!n && now_ns() < deadline) n = take(0);
    return n;
}

static int join(int port, const char *line) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&a, sizeof a)) die("connect");
    if (write(fd, hello, strlen(hello)) < 0) die("hello");
    readers[fd].line = line;
    arriving++;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    watch(drain_poll, fd, EPOLLIN, 0);
    while (take(arriving < AT_ONCE ? 0 : DEADLINE_MS)) {}
    return fd;
}

static int by_size(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void run(int cycles, int in_flight) {
    static uint64_t per_cycle;
    static int64_t asked_at[MAX_CYCLES], took[MAX_CYCLES];
    if (!per_cycle) { /* one cycle first, to learn how many frames it is */
        uint64_t before = received;
        if (write(3, "c", 1) != 1) die("trigger");
        while (take(QUIET_MS)) {}
        per_cycle = received - before;
    }
    uint64_t start = received;
    int64_t began = now_ns();
    for (int asked = 0, done = 0; done < cycles;) {
        for (; asked < cycles && asked < done + in_flight; asked++) {
            asked_at[asked] = now_ns();
            if (write(3, "c", 1) != 1) die("trigger");
        }
        if (!take_awake(DEADLINE_MS)) { printf("-1 0 0\n"); return; }
        for (; done < cycles && received - start >= (done + 1) * per_cycle; done++) took[done] = now_ns() - asked_at[done];
    }
    int64_t all = now_ns() - began;
    qsort(took, cycles, sizeof *took, by_size);
    printf("%lld %lld %lld\n", (long long)all, (long long)took[cycles / 2], (long long)took[cycles * 99 / 100]);
}

static uint64_t read_for(int milliseconds) {
    uint64_t before = received;
    int64_t deadline = now_ns() + milliseconds * 1000000LL;
    while (now_ns() < deadline) take(10);
    return received - before;
}

static int drain(int port, int clients_wanted, const char *path, int stalled) {
    size_t size;
    char *lines = slurp(path, &size), *line = lines;
    int *fds = malloc(clients_wanted * sizeof *fds);
    drain_poll = epoll_create1(0);
    int64_t began = now_ns();
    for (int i = 0; i < clients_wanted; i++) {
        fds[i] = join(port, line);
        line = strchr(line, '\n') + 1;
        if (!*line) line = lines;
    }
    while (live < clients_wanted && (take(QUIET_MS) || arriving)) {} /* those told no snapshot_end: until it is quiet */
    joining = 0;
    for (int i = 0; i < stalled; i++) epoll_ctl(drain_poll, EPOLL_CTL_DEL, fds[i], NULL);
    printf("ready %lld %d\n", (long long)(last_arrival - began), live);
    fflush(stdout);
    char command[8];
    int cycles, in_flight, milliseconds;
    while (scanf(" %7s", command) == 1) {
        if (!strcmp(command, "run") && scanf("%d %d", &cycles, &in_flight) == 2)
            run(cycles < MAX_CYCLES ? cycles : MAX_CYCLES, in_flight);
        else if (!strcmp(command, "read") && scanf("%d", &milliseconds) == 1)
            printf("%llu\n", (unsigned long long)read_for(milliseconds));
        fflush(stdout);
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve")) return serve(argv[2]);
    if (argc == 7 && !strcmp(argv[1], "drain")) {
        if (!strcmp(argv[5], "deflate")) hello = HELLO_DEFLATE;
        by_line = !strcmp(argv[5], "lines");
        return drain(atoi(argv[2]), atoi(argv[3]), argv[4], atoi(argv[6]));
    }
    fprintf(stderr, "see the top of fanout_limit.c\n");
    return 2;
}
