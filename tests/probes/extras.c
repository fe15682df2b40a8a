/*
 * extras PORT: what TCP has beside a stream of bytes, and what becomes of it: refused in a way after which programs do without, or
 * of no effect.
 */
#include "probe.h"

#include <netinet/tcp.h>

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

int
main(int argc, char **argv)
{
	struct sockaddr_in a = local(argv[1]);
	int one = 1, fd = make_socket(0);
	struct iovec iov = { (char[]){ "secret" }, 6 };
	struct msghdr m = { .msg_name = &a, .msg_namelen = sizeof a, .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr mm = { m, 0 };
	char byte;

	(void)argc;
	say("TCP_FASTOPEN_CONNECT: %s", result(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof one)));
	say("SO_ZEROCOPY: %s", result(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one)));
	say("sendto, MSG_FASTOPEN: %s", result(sendto(fd, "secret", 6, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof a)));
	say("sendmsg, MSG_FASTOPEN: %s", result(sendmsg(fd, &m, MSG_FASTOPEN)));
	say("sendmmsg, MSG_FASTOPEN: %s", result(sendmmsg(fd, &mm, 1, MSG_FASTOPEN)));
	must("connect", connect(fd, (struct sockaddr *)&a, sizeof a));
	echo(fd, "connected");
	say("SO_ZEROCOPY: %s", result(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one)));
	say("MSG_ZEROCOPY: %s", result(send(fd, "12345", 5, MSG_ZEROCOPY)));
	read_all(fd, (char[5]){ 0 }, 5, 5);
	say("MSG_ERRQUEUE: %s", result(recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT)));
	say("send, MSG_OOB: %s", result(send(fd, "!", 1, MSG_OOB)));
	say("sendmsg, MSG_OOB: %s", result(sendmsg(fd, &m, MSG_OOB)));
	say("sendmmsg, MSG_OOB: %s", result(sendmmsg(fd, &mm, 1, MSG_OOB)));
	say("sendmsg with an address: %s", result(sendmsg(fd, &m, 0)));
	read_all(fd, (char[6]){ 0 }, 6, 6);
	say("recv, MSG_OOB: %s", result(recv(fd, &byte, 1, MSG_OOB)));
	echo(fd, "after");
	finish(fd);
	return 0;
}
