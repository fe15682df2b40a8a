/* elf.c - reading ELF files with every offset checked. */
#include <sys/mman.h>
#include <sys/stat.h>

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OUR_MACHINE EM_AARCH64
#else
#error "elf.c knows x86-64 and arm64"
#endif

int
elf_open(const char *path, struct elf_file *f)
{
	struct stat st;
	void *map = NULL;
	int fd, saved;

	*f = (struct elf_file){ NULL, 0 };
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		goto err_close;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
		goto err_close;
	}
	if (st.st_size > 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		goto err_close;
	close(fd);
	*f = (struct elf_file){ map, (size_t)st.st_size };
	return 0;

err_close:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

void
elf_close(struct elf_file *f)
{
	if (f->bytes)
		munmap((void *)(uintptr_t)f->bytes, f->size);
	*f = (struct elf_file){ NULL, 0 };
}

/* size bytes at offset, or NULL where the file has no such bytes. */
static const void *
part(const struct elf_file *f, uint64_t offset, uint64_t size)
{
	if (offset > f->size || size > f->size - offset)
		return NULL;
	return f->bytes + offset;
}

static const char *
string(const struct elf_file *f, uint64_t offset)
{
	if (offset >= f->size || !memchr(f->bytes + offset, '\0', f->size - offset))
		return NULL;
	return (const char *)f->bytes + offset;
}

bool
elf_is(const struct elf_file *f)
{
	return f->size >= SELFMAG && memcmp(f->bytes, ELFMAG, SELFMAG) == 0;
}

/* Headers are copied: nothing in a file is sure to be aligned. */
static bool
header(const struct elf_file *f, ElfW(Ehdr) *h)
{
	const void *at = part(f, 0, sizeof *h);

	if (!at)
		return false;
	memcpy(h, at, sizeof *h);
	return true;
}

bool
elf_is_ours(const struct elf_file *f)
{
	ElfW(Ehdr) h;

	return elf_is(f) && header(f, &h) && h.e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
	       h.e_ident[EI_DATA] == ELFDATA2LSB && h.e_machine == OUR_MACHINE;
}

/* The next segment of a type, counting in *at; type PT_NULL: any. */
static bool
segment(const struct elf_file *f, unsigned type, size_t *at, ElfW(Phdr) *p)
{
	ElfW(Ehdr) h;
	const void *from;

	if (!header(f, &h) || h.e_phentsize < sizeof *p)
		return false;
	while (*at < h.e_phnum) {
		from = part(f, h.e_phoff + (*at)++ * h.e_phentsize, sizeof *p);
		if (!from)
			return false;
		memcpy(p, from, sizeof *p);
		if (type == PT_NULL || p->p_type == type)
			return true;
	}
	return false;
}

const char *
elf_interpreter(const struct elf_file *f)
{
	ElfW(Phdr) p;
	size_t at = 0;

	return segment(f, PT_INTERP, &at, &p) ? string(f, p.p_offset) : NULL;
}

static bool
section_is_go(const struct elf_file *f, const ElfW(Ehdr) *h)
{
	ElfW(Shdr) s, names;
	const void *from = part(f, h->e_shoff + (uint64_t)h->e_shstrndx * h->e_shentsize, sizeof names);

	if (h->e_shentsize < sizeof s || !from)
		return false;
	memcpy(&names, from, sizeof names);
	for (size_t i = 0; i < h->e_shnum; i++) {
		const char *name;

		from = part(f, h->e_shoff + i * h->e_shentsize, sizeof s);
		if (!from)
			return false;
		memcpy(&s, from, sizeof s);
		name = string(f, names.sh_offset + s.sh_name);
		if (name && (strcmp(name, ".go.buildinfo") == 0 || strcmp(name, ".note.go.buildid") == 0))
			return true;
	}
	return false;
}

/* The Go linker's own note: owner "Go", type 4 (build id). It survives where section headers were stripped. */
static bool
note_is_go(const struct elf_file *f, const ElfW(Phdr) *p)
{
	uint64_t at = p->p_offset, end = p->p_offset + p->p_filesz;
	const unsigned char *from;
	uint32_t n[3];		/* name size, description size, type */

	while (at + sizeof n <= end && (from = part(f, at, sizeof n))) {
		memcpy(n, from, sizeof n);
		if (n[0] == 4 && n[2] == 4 && (from = part(f, at + sizeof n, 4)) && memcmp(from, "Go\0", 4) == 0)
			return true;
		at += sizeof n + (((uint64_t)n[0] + 3) & ~3ULL) + (((uint64_t)n[1] + 3) & ~3ULL);
	}
	return false;
}

bool
elf_is_go(const struct elf_file *f)
{
	ElfW(Ehdr) h;
	ElfW(Phdr) p;
	size_t at = 0;

	if (!header(f, &h))
		return false;
	if (section_is_go(f, &h))
		return true;
	while (segment(f, PT_NOTE, &at, &p))
		if (note_is_go(f, &p))
			return true;
	return false;
}

/* Where in the file an address of the loaded program lies. */
static bool
offset_of(const struct elf_file *f, uint64_t address, uint64_t *offset)
{
	ElfW(Phdr) p;
	size_t at = 0;

	while (segment(f, PT_LOAD, &at, &p))
		if (address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) {
			*offset = address - p.p_vaddr + p.p_offset;
			return true;
		}
	return false;
}

/* The next entry with this tag of the dynamic section, counting in *at. */
static bool
dynamic(const struct elf_file *f, ElfW(Sxword) tag, size_t *at, ElfW(Dyn) *d)
{
	ElfW(Phdr) p;
	size_t first = 0;
	const void *from;

	if (!segment(f, PT_DYNAMIC, &first, &p))
		return false;
	while ((*at + 1) * sizeof *d <= p.p_filesz && (from = part(f, p.p_offset + *at * sizeof *d, sizeof *d))) {
		memcpy(d, from, sizeof *d);
		if (d->d_tag == DT_NULL)
			return false;
		++*at;
		if (d->d_tag == tag)
			return true;
	}
	return false;
}

/* A table of the dynamic section (strings, symbols, hash) by its tag. */
static bool
table(const struct elf_file *f, ElfW(Sxword) tag, uint64_t *offset)
{
	ElfW(Dyn) d;
	size_t at = 0;

	return dynamic(f, tag, &at, &d) && offset_of(f, d.d_un.d_ptr, offset);
}

static const char *
dynamic_string(const struct elf_file *f, ElfW(Sxword) tag, size_t *at)
{
	ElfW(Dyn) d;
	uint64_t strings;

	if (!table(f, DT_STRTAB, &strings) || !dynamic(f, tag, at, &d))
		return NULL;
	return string(f, strings + d.d_un.d_val);
}

const char *
elf_soname(const struct elf_file *f)
{
	size_t at = 0;

	return dynamic_string(f, DT_SONAME, &at);
}

const char *
elf_needed(const struct elf_file *f, size_t *at)
{
	return dynamic_string(f, DT_NEEDED, at);
}

/* Linkers put the string table right behind the symbols, so that is where they end at the latest. */
static bool
find_symbol(const struct elf_file *f, const char *symbol, bool defined, ElfW(Sym) *s)
{
	uint64_t symbols, strings;
	const void *from;
	const char *name;

	if (!table(f, DT_SYMTAB, &symbols) || !table(f, DT_STRTAB, &strings))
		return false;
	for (uint64_t at = symbols; at + sizeof *s <= strings && (from = part(f, at, sizeof *s)); at += sizeof *s) {
		memcpy(s, from, sizeof *s);
		name = string(f, strings + s->st_name);
		if (name && strcmp(name, symbol) == 0 && (s->st_shndx != SHN_UNDEF) == defined)
			return true;
	}
	return false;
}

const void *
elf_data(const struct elf_file *f, const char *symbol, size_t size)
{
	uint64_t offset;
	ElfW(Sym) s;

	return find_symbol(f, symbol, true, &s) && offset_of(f, s.st_value, &offset) ? part(f, offset, size) : NULL;
}

bool
elf_imports(const struct elf_file *f, const char *symbol)
{
	ElfW(Sym) s;

	return find_symbol(f, symbol, false, &s);
}
