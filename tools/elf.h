/*
 * elf.h - what an ELF file says about itself, as far as preloading depends on it.
 *
 * Any bytes may be handed in: offsets and lengths of the file are checked, never trusted.
 */
#ifndef WRAPSOCK_ELF_H
#define WRAPSOCK_ELF_H

#include <stdbool.h>
#include <stddef.h>

/* A whole file in memory, mapped. */
struct elf_file {
	const unsigned char *bytes;
	size_t size;
};

/* 0, or -1 with errno. An empty file is mapped as size 0. */
int elf_open(const char *path, struct elf_file *);
void elf_close(struct elf_file *);

bool elf_is(const struct elf_file *);		/* it begins like an ELF file */
bool elf_is_ours(const struct elf_file *);	/* of this program's own class, byte order and machine */

/* The rest is for files that are ours. */
const char *elf_interpreter(const struct elf_file *);	/* the loader it asks for; NULL = none: statically linked */
bool elf_is_go(const struct elf_file *);		/* carries the Go linker's section or note */
const char *elf_soname(const struct elf_file *);	/* NULL = none */
/* The next DT_NEEDED name after *at, which begins as 0; NULL = no more. */
const char *elf_needed(const struct elf_file *, size_t *at);
/* size bytes of the data that a dynamic symbol names, or NULL. */
const void *elf_data(const struct elf_file *, const char *symbol, size_t size);
bool elf_imports(const struct elf_file *, const char *symbol);	/* takes a function of that name from another object */

#endif
