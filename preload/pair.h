/*
 * pair.h - the pair of Unix sockets that takes a connection's place: [0] for the program, [1] for the relay. The abstract name of
 * the relay's end tells what it stands for, and a byte in it that stays unread lets a close of it be a reset.
 */
#ifndef WRAPSOCK_PAIR_H
#define WRAPSOCK_PAIR_H

#include "sock.h"

#include <sys/socket.h>

/* What the abstract name says, behind a mark of ours. */
struct pair_place {
	uint16_t family, port;		/* as in the address: port in network order */
	uint32_t scope;
	uint8_t addr[16];
};
struct pair_label {
	uint64_t id, nonce;
	uint32_t user, unused;
	struct pair_place local, peer;
};

int pair_make(int wire, struct pair_label *, int pair[2]);	/* for the connection of wire: 0 or a negated errno value; neither is 0 to 2 */
void pair_copy_settings(struct sock *, int wire, int end);	/* what the program has set on the wire's file */
bool pair_read_label(int fd, struct pair_label *);	/* of a program's end; false = it is none */
socklen_t pair_address(const struct pair_place *, struct sockaddr_storage *);

#endif
