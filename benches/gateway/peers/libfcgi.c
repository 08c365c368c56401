/* Hello world over FastCGI, as the C library serves it, on the unix socket that is named.
 *
 * Each thread accepts for itself. The mutex around it that the library's examples have deadlocks with kept
 * connections: whoever waits for the next request of its connection holds it. */
#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>

enum { THREADS = 32 };

static int listener;

static void *serve(void *unused) {
    FCGX_Request request;
    (void)unused;
    if (FCGX_InitRequest(&request, listener, 0) != 0)
        return NULL;
    while (FCGX_Accept_r(&request) == 0) {
        FCGX_PutS("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n"
                  "Hello, World!\n",
                  request.out);
        FCGX_Finish_r(&request);
    }
    return NULL;
}

int main(int count, char **words) {
    pthread_t threads[THREADS];
    if (count < 2 || FCGX_Init() != 0 || (listener = FCGX_OpenSocket(words[1], 1024)) < 0) {
        fputs("no socket\n", stderr);
        return 1;
    }
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, serve, NULL) != 0)
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
