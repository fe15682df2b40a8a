# GNU make. `make` builds, `make help` lists what else there is.

VERSION = 0.1.0
PREFIX  = /usr/local
DESTDIR =
BUILD   = build
CC      = gcc
CFLAGS  = -O2 -g
V       = 0

ifeq ($(V),0)
Q = @
endif
ifeq ($(CI),true)
WERROR = -Werror
endif

# SANITIZE is what a variant adds to every compilation and link; sanitizers and _FORTIFY_SOURCE do not go together.
SANITIZE =
FORTIFY  = $(if $(SANITIZE),,-D_FORTIFY_SOURCE=3)

WARNINGS = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual \
	   -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wimplicit-fallthrough -Wredundant-decls $(WERROR)
COMMON   = -std=gnu11 -D_GNU_SOURCE -DWRAPSOCK_VERSION='"$(VERSION)"' -fPIC -fvisibility=hidden -fstack-protector-strong -fexceptions -pthread \
	   -ffile-prefix-map=$(CURDIR)=. -MMD -MP $(WARNINGS) $(SANITIZE)
LINK     = -pthread -Wl,-z,relro,-z,now,-z,nodelete $(SANITIZE) $(LDFLAGS)
INCLUDES = -I. -Ipolicy -Ilib
comma    = ,

policy   = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard policy/*.c)))
lib      = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/*.c)))
preload  = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard preload/*.c)))
relay    = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard lib/relay/*.c)))
tools    = $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard tools/*.c)))
units    = $(patsubst tests/%.c,$(BUILD)/%,$(sort $(wildcard tests/unit/*_test.c)))
probes   = $(patsubst tests/%.c,$(BUILD)/%,$(sort $(wildcard tests/probes/*.c)))
benches  = $(addprefix $(BUILD)/bench/,call load serve start api_load api_serve)
examples = $(patsubst lib/%.c,$(BUILD)/%,$(sort $(wildcard lib/examples/*.c)))
worker   = $(BUILD)/property/worker
inject   = $(BUILD)/faults/inject
fuzzers  = $(patsubst tests/%.c,$(BUILD)/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
scripts  = tools/wrapsock $(sort $(wildcard tools/*.sh tests/run tests/install-packages tests/*.sh)) .ci/run
manuals  = $(sort $(wildcard policy/*.[1-9] lib/*.[1-9] preload/*.[1-9] tools/*.[1-9]))
sources  = $(sort $(wildcard policy/*.[ch] lib/*.[ch] lib/*/*.[ch] preload/*.[ch] tools/*.[ch] tests/*/*.[ch]))

programs = $(BUILD)/libwrapsock.so $(BUILD)/libwrapsock-preload.so $(BUILD)/wrapsock-relay $(BUILD)/wrapsockctl
prefix   = $(abspath $(BUILD))/prefix

all: $(programs)	## build both libraries, their helper and wrapsockctl

# Rooms. The preload object defines read, recv and their like itself: no fortified headers there, and no _FILE_OFFSET_BITS,
# which would turn its fcntl into fcntl64.  libc calls poll's list write-only, which gcc would hold against us.
$(BUILD)/policy/%.o: policy/%.c Makefile
	$(call compile,$(FORTIFY) -Wpedantic)
$(BUILD)/lib/%.o: lib/%.c Makefile
	$(call compile,$(FORTIFY) -Wpedantic)
$(BUILD)/lib/relay/%.o: lib/relay/%.c Makefile
	$(call compile,$(FORTIFY) -Wpedantic -Ilib)
$(BUILD)/tools/%.o: tools/%.c Makefile
	$(call compile,$(FORTIFY) -Wpedantic $(INCLUDES))
$(BUILD)/preload/%.o: preload/%.c Makefile
	$(call compile,-U_FORTIFY_SOURCE -fno-builtin-_Exit $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized) $(INCLUDES))

define compile
	@mkdir -p $(@D)
	$(if $(Q),@echo "  CC      $@")
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(COMMON) $(1) -c -o $@ $<
endef
define link
	@mkdir -p $(@D)
	$(if $(Q),@echo "  LINK    $@")
	$(Q)$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o %.c %.a,$^) $(ARGS)
endef

$(BUILD)/libwrapsock.map: lib/symbols.list Makefile
	@mkdir -p $(@D)
	$(Q){ echo 'WRAPSOCK_1 {'; echo 'global:'; sed -n 's/^[a-z][A-Za-z0-9_]*$$/	&;/p' $<; echo 'local: *;'; echo '};'; } >$@
# A named version node would stop the interposition.
$(BUILD)/libwrapsock-preload.map: preload/calls.def Makefile
	@mkdir -p $(@D)
	$(Q){ echo '{'; echo 'global:'; sed -n 's/^CALL(\([A-Za-z0-9_]*\),.*/	\1;/p' $<; echo 'local: *;'; echo '};'; } >$@

$(BUILD)/libwrapsock.so: ARGS = -shared -Wl,-soname,libwrapsock.so.1 -Wl,--version-script=$(BUILD)/libwrapsock.map -lssl -lcrypto
$(BUILD)/libwrapsock.so: $(lib) $(BUILD)/libwrapsock.map
	$(link)
	$(Q)ln -sf libwrapsock.so $(BUILD)/libwrapsock.so.1
# The launcher reads the version from the soname: nobody links this object.
$(BUILD)/libwrapsock-preload.so: ARGS = -shared -Wl,-soname,libwrapsock-preload.so.$(VERSION) -Wl,--version-script=$(BUILD)/libwrapsock-preload.map
$(BUILD)/libwrapsock-preload.so: $(preload) $(policy) $(BUILD)/lib/log.o $(BUILD)/lib/stack.o $(BUILD)/libwrapsock-preload.map
	$(link)
# The same with a table that a test can come to the end of, and what it loads beside itself.
$(BUILD)/small/fdtab.o: preload/fdtab.c Makefile
	$(call compile,-U_FORTIFY_SOURCE -DTABLE_MOST=64u $(INCLUDES))
$(BUILD)/small/libwrapsock-preload.so: ARGS = -shared -Wl,--version-script=$(BUILD)/libwrapsock-preload.map
$(BUILD)/small/libwrapsock-preload.so: $(filter-out %/fdtab.o,$(preload)) $(BUILD)/small/fdtab.o $(policy) $(BUILD)/lib/log.o $(BUILD)/lib/stack.o \
		$(BUILD)/libwrapsock-preload.map
	$(link)
	$(Q)ln -sf ../libwrapsock.so ../wrapsock-relay $(@D)
# And one whose allocations fail when a test says so, with what it loads.
faulty = $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc strdup __vasprintf_chk)
$(BUILD)/faulty/allocate.o: tests/faults/allocate.c Makefile
	$(call compile,-U_FORTIFY_SOURCE $(INCLUDES))
$(BUILD)/faulty/libwrapsock-preload.so: ARGS = -shared -Wl,--version-script=$(BUILD)/libwrapsock-preload.map $(faulty)
$(BUILD)/faulty/libwrapsock-preload.so: $(preload) $(policy) $(BUILD)/lib/log.o $(BUILD)/lib/stack.o $(BUILD)/faulty/allocate.o \
		$(BUILD)/libwrapsock-preload.map | $(BUILD)/faulty/libwrapsock.so $(BUILD)/faulty/wrapsock-relay
	$(link)
$(BUILD)/faulty/libwrapsock.so: ARGS = -shared -Wl,-soname,libwrapsock.so.1 -Wl,--version-script=$(BUILD)/libwrapsock.map $(faulty) -lssl -lcrypto
$(BUILD)/faulty/libwrapsock.so: $(lib) $(BUILD)/faulty/allocate.o $(BUILD)/libwrapsock.map
	$(link)
$(BUILD)/faulty/wrapsock-relay: ARGS = -pie $(faulty) -lcrypto
$(BUILD)/faulty/wrapsock-relay: $(relay) $(BUILD)/lib/engine_openssl_records.o $(BUILD)/lib/engine_openssl_derive.o $(BUILD)/lib/log.o $(BUILD)/faulty/allocate.o
	$(link)
$(BUILD)/wrapsock-relay: ARGS = -pie -lcrypto
$(BUILD)/wrapsock-relay: $(relay) $(BUILD)/lib/engine_openssl_records.o $(BUILD)/lib/engine_openssl_derive.o $(BUILD)/lib/log.o
	$(link)
$(BUILD)/wrapsockctl: ARGS = -pie
$(BUILD)/wrapsockctl: $(tools) $(policy)
	$(link)

# Tests. A unit test takes from the archive what it calls: the rooms' own objects, linked statically.
$(BUILD)/rooms.a: $(policy) $(lib)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
test-flags = $(COMMON) $(FORTIFY) $(INCLUDES) -MF $@.d
$(BUILD)/unit/%: ARGS = $(test-flags) -lssl -lcrypto
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/rooms.a Makefile
	$(link)
$(BUILD)/unit/fault_test: ARGS = $(test-flags) -lssl -lcrypto $(addprefix -Wl$(comma)--wrap=,malloc calloc realloc free)
$(BUILD)/certs/%: ARGS = $(test-flags) -lssl -lcrypto
$(BUILD)/certs/%: tests/certs/%.c $(BUILD)/rooms.a Makefile
	$(link)
$(BUILD)/probes/%: ARGS = $(filter-out --coverage,$(test-flags))
$(BUILD)/probes/%: tests/probes/%.c Makefile
	$(link)
$(BUILD)/probes/reloads: ARGS = $(test-flags) -rdynamic
$(BUILD)/bench/%: ARGS = $(test-flags) -lssl -lcrypto
$(BUILD)/bench/%: tests/bench/%.c Makefile
	$(link)
$(BUILD)/bench/load $(BUILD)/bench/serve: tests/bench/end_openssl.c tests/bench/end.h
$(BUILD)/bench/api_%: ARGS = $(test-flags) -L$(BUILD) -lwrapsock -Wl,-rpath,'$$ORIGIN/..'
$(BUILD)/bench/api_%: tests/bench/%.c tests/bench/end_api.c tests/bench/end.h $(BUILD)/libwrapsock.so Makefile
	$(link)
$(BUILD)/examples/%: ARGS = $(test-flags) -L$(BUILD) -lwrapsock -Wl,-rpath,$(abspath $(BUILD))
$(BUILD)/examples/%: lib/examples/%.c $(BUILD)/libwrapsock.so Makefile
	$(link)
# The object of libc's names stands before libc in this one, and loads the other from beside itself.
$(BUILD)/fuzz/calls_fuzz: ARGS = $(test-flags) -fsanitize=fuzzer -L$(BUILD)/small -Wl,--no-as-needed,-rpath,'$$ORIGIN/../small' -l:libwrapsock-preload.so \
	-lssl -lcrypto
$(BUILD)/fuzz/calls_fuzz: $(BUILD)/small/libwrapsock-preload.so $(BUILD)/libwrapsock.so
$(BUILD)/fuzz/%_fuzz: ARGS = $(test-flags) -fsanitize=fuzzer -lssl -lcrypto
$(BUILD)/fuzz/%_fuzz: tests/fuzz/%_fuzz.c $(BUILD)/rooms.a Makefile
	$(link)

tested: $(programs) $(BUILD)/small/libwrapsock-preload.so $(BUILD)/faulty/libwrapsock-preload.so $(units) $(probes) $(benches) $(examples) $(BUILD)/certs/judge $(worker) $(inject)
$(worker): ARGS = $(test-flags) -lssl -lcrypto
$(worker): $(sort $(wildcard tests/property/*.[ch])) Makefile
	$(link)
$(inject): ARGS = $(test-flags)
$(inject): tests/faults/inject.c Makefile
	$(link)
fuzzers: $(fuzzers)
staged:
	$(Q)$(MAKE) --no-print-directory install PREFIX=$(prefix) DESTDIR= >/dev/null

# Two of these may run at once in one checkout: building is done by one of them, the other waits.
build-once = mkdir -p $(BUILD) && flock $(BUILD)/.lock $(MAKE) --no-print-directory
asan = BUILD=build/asan CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=address,undefined -DWRAPSOCK_NO_DEEPBIND'
tsan = BUILD=build/tsan CFLAGS='-O1 -g -fno-omit-frame-pointer' SANITIZE='-fsanitize=thread -DWRAPSOCK_NO_DEEPBIND'
coverage = BUILD=build/coverage CFLAGS='-O0 -g' SANITIZE='--coverage -DWRAPSOCK_NO_DEEPBIND'
fuzz = BUILD=build/fuzz CC=clang CFLAGS='-O1 -g' SANITIZE='-fsanitize=fuzzer-no-link,address,undefined -DWRAPSOCK_NO_DEEPBIND'

demo:	## show the main job in a minute: a plain server and a plain client, TLS between them
	@tests/install-packages build demo
	@$(build-once) all
	@tools/demo.sh

check:	## build, then run every test; T=stream_test.sh (or T=conn_read_test) for one
	@tests/install-packages build check
	@$(build-once) tested
	@BUILD=$(BUILD) tests/run

matrix:	## real programs, every row of tests/matrix/; ROWS='nginx redis' for some
	@tests/install-packages build check matrix
	@$(build-once) tested
	@BUILD=$(BUILD) tests/matrix_run $(ROWS)

suites:	## CPython's network tests under the preload; MODULES='test_epoll test_select' for some
	@tests/install-packages build check suites
	@$(build-once) all
	@BUILD=$(BUILD) tests/suites_run $(MODULES)

N = 3000
property:	## N random sequences of descriptor operations (3000), over TCP and over TLS, from SEED on (chosen by the clock)
	@tests/install-packages build check
	@$(build-once) tested
	@BUILD=$(BUILD) T=property_test.sh N=$(N) SEED=$(or $(SEED),$(shell date +%s)) LIMIT=14400 KEEP=1 tests/run

reload:	## replace a policy's files while connections come and go, ROUNDS (20) times in 7 ways, 20 seconds each
	@tests/install-packages build check
	@$(build-once) tested
	@BUILD=$(BUILD) T=reload_test.sh ROUNDS=$(or $(ROUNDS),20) LIMIT=3600 KEEP=1 tests/run

SOAK_SECONDS = 1800
CONNECTIONS  = 2000
soak:	## mixed load for SOAK_SECONDS (1800) beside CONNECTIONS (2000) that are held: every byte by hash, flat memory and descriptors
	@tests/install-packages build check
	@$(build-once) tested
	@BUILD=$(BUILD) T=soak_test.sh SOAK_SECONDS=$(SOAK_SECONDS) CONNECTIONS=$(CONNECTIONS) PAUSE=4000 LIMIT=100000 KEEP=1 tests/run

faults:	## every system call and allocation fails once: a quarter of an hour and more; SCENARIO=relay-server for some
	@tests/install-packages build check
	@$(build-once) tested
	@BUILD=$(BUILD) SUITE=unit T=fault_test FAULTS=all KEEP=1 tests/run
	@BUILD=$(BUILD) SUITE=shell T=fault_test.sh FAULTS=all KEEP=1 SCENARIO=$(SCENARIO) tests/run

asan:	## the tests once more under the address and undefined-behaviour sanitizers
	@$(build-once) $(asan) tested staged
	@BUILD=build/asan tests/run

tsan:	## unit tests under the thread sanitizer
	@$(build-once) $(tsan) tested
	@BUILD=build/tsan SUITE=unit tests/run

valgrind:	## unit tests under valgrind
	@$(build-once) tested
	@BUILD=$(BUILD) SUITE=unit UNDER='valgrind -q --suppressions=$(CURDIR)/tests/valgrind.supp --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite' tests/run

FUZZ_SECONDS = 60
fuzz:	## each fuzz target for FUZZ_SECONDS (60)
	@$(build-once) $(fuzz) fuzzers
	@BUILD=build/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) SUITE=fuzz tests/run

# An hour and more, QUICK=1 half of that, on a machine that does nothing else. tests/bench/run.py --help has the groups and set-ups.
bench-arguments = --version=$(VERSION) $(if $(S),-s '$(S)') $(if $(SETUPS),-w '$(SETUPS)') $(if $(MATCH),-m '$(MATCH)') $(if $(ROUNDS),-r $(ROUNDS)) \
	$(if $(SECONDS),-t $(SECONDS)) $(if $(QUICK),-q) $(if $(OUT),-o '$(OUT)')
bench:	## CPU, latency and memory beside plain TCP, native TLS and proxies; QUICK=1 for short rounds, S='redis nginx' MATCH='4 KiB' ROUNDS=3 SECONDS=3
	@tests/install-packages build bench
	@$(build-once) all $(benches)
	@BUILD=$(abspath $(BUILD)) tests/bench/run.py $(bench-arguments)

coverage:	## what the tests reach of lib/ and policy/, and the failures that none has met; SUITE=unit for less
	@$(build-once) $(coverage) tested staged
	@find build/coverage -name '*.gcda' -delete
	@BUILD=build/coverage tests/run; status=$$?; tests/coverage -b build/coverage && exit $$status

lint:	## what compilers and checkers say: warnings of clang, cppcheck, clang-tidy, shellcheck, mandoc
	@$(MAKE) --no-print-directory BUILD=build/clang CC=clang WERROR=-Werror all
	cppcheck -q --std=c11 --enable=warning,portability --inline-suppr --suppress=normalCheckLevelMaxBranches --error-exitcode=1 \
		-D_GNU_SOURCE -D__x86_64__ $(INCLUDES) policy lib preload tools
	clang-tidy --quiet --warnings-as-errors='*' --checks='-*,clang-analyzer-*,-clang-analyzer-security.insecureAPI.*,bugprone-infinite-loop,bugprone-sizeof-expression,bugprone-suspicious-string-compare,bugprone-misplaced-widening-cast,readability-inconsistent-declaration-parameter-name' \
		$(filter policy/%.c lib/%.c tools/%.c,$(sources)) -- -std=gnu11 -D_GNU_SOURCE -DWRAPSOCK_VERSION='"$(VERSION)"' $(INCLUDES)
	shellcheck -e SC1090,SC1091,SC2154 $(scripts)
	mandoc -Tlint -Wwarning $(manuals)

fmt:	## format C sources
	clang-format -i $(sources)

# The public interface alone: neither opaque types nor the preload object's table belong to it. What is new breaks nobody.
ABI     = lib/libwrapsock.abi
ABI_NOW = $(BUILD)/libwrapsock.abi
abi: $(BUILD)/libwrapsock.so	## compare the library's interface with the one recorded in lib/libwrapsock.abi; RECORD=1 records it
	@{ echo '[abi_whitelist]'; sed -n 's/^wrapsock_[A-Za-z].*/  &/p' lib/symbols.list | grep -v '^  wrapsock_core_'; } >$(ABI_NOW).symbols
	abidw --kmi-whitelist $(ABI_NOW).symbols --header-file lib/wrapsock.h --drop-private-types --no-architecture --no-corpus-path --no-comp-dir-path \
		--no-elf-needed --no-show-locs --type-id-style hash --out-file $(ABI_NOW) $<
	$(if $(RECORD),cp $(ABI_NOW) $(ABI),abidiff --no-added-syms $(ABI) $(ABI_NOW))

INSTALL = install
to = $(DESTDIR)$(PREFIX)
install: all	## install below PREFIX (/usr/local), staged below DESTDIR
	$(INSTALL) -d $(to)/bin $(to)/lib/pkgconfig $(to)/include $(to)/share/doc/wrapsock/examples
	$(INSTALL) -m 755 tools/wrapsock $(BUILD)/wrapsockctl $(to)/bin
	$(INSTALL) -m 755 $(BUILD)/libwrapsock-preload.so $(to)/lib
	$(INSTALL) -m 755 $(BUILD)/wrapsock-relay $(to)/lib
	$(INSTALL) -m 755 $(BUILD)/libwrapsock.so $(to)/lib/libwrapsock.so.1
	ln -sf libwrapsock.so.1 $(to)/lib/libwrapsock.so
	$(if $(wildcard lib/wrapsock.h),$(INSTALL) -m 644 lib/wrapsock.h $(to)/include)
	sed 's|@PREFIX@|$(PREFIX)|;s|@VERSION@|$(VERSION)|' lib/wrapsock.pc.in >$(to)/lib/pkgconfig/wrapsock.pc
	for page in $(manuals); do $(INSTALL) -D -m 644 -t $(to)/share/man/man$${page##*.} $$page; done
	$(INSTALL) -m 644 $(wildcard policy/examples/* lib/examples/*) $(to)/share/doc/wrapsock/examples

uninstall:	## remove what install put there
	rm -f $(addprefix $(to)/,bin/wrapsock bin/wrapsockctl lib/libwrapsock-preload.so lib/wrapsock-relay lib/libwrapsock.so lib/libwrapsock.so.1 \
		include/wrapsock.h lib/pkgconfig/wrapsock.pc)
	for page in $(manuals); do rm -f $(to)/share/man/man$${page##*.}/$${page##*/}; done
	rm -rf $(to)/share/doc/wrapsock

dist:	## build/wrapsock-VERSION.tar.gz from what is committed
	@mkdir -p $(BUILD)
	git archive --prefix=wrapsock-$(VERSION)/ -o $(BUILD)/wrapsock-$(VERSION).tar.gz HEAD

clean:	## remove everything built
	rm -rf build

help:	## this list
	@sed -n 's/^\([a-z]*\):.*##/\1	/p' Makefile | expand -t 12

.PHONY: all tested fuzzers staged demo check matrix property reload soak faults suites bench asan tsan valgrind fuzz coverage lint fmt abi install uninstall dist clean help
.DELETE_ON_ERROR:
.SECONDARY:
-include $(sort $(wildcard $(BUILD)/*/*.d $(BUILD)/lib/relay/*.d))
