/* Hello world as a CGI program, and nothing else. */
#include <stdio.h>

int main(void) {
    fputs("Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\r\n"
          "Hello, World!\n",
          stdout);
    return 0;
}
