# A dozen targets in front of meson. `make help` lists them.
BUILD ?= build
export CONTINUO_BUILD := $(abspath $(BUILD))
SOURCES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)
UNIT = $(sort $(patsubst %.p,,$(wildcard $(BUILD)/test-*)))

help: ## what there is
	@sed -n 's/^\([a-z%-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

deps: ## install what everything needs (Debian packages)
	@tools/deps

build: deps ## build all executables and tests into build/
	@[ -d $(BUILD) ] || meson setup $(BUILD) > $(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log
	@ninja -C $(BUILD) --quiet

demo: build ## raise a continuum of five hosts and run an application on it (KEEP=1 leaves it up)
	@demo/run

test: build ## unit tests and scenarios
	@prove --timer $(patsubst %,./%,$(filter-out %.p,$(wildcard $(BUILD)/test-*))) tests/unit/*.sh tests/scenario/*.sh

test-%: build ## one unit test (test-base-map) or scenario (test-images)
	@if [ -x $(BUILD)/$@ ]; then prove -v ./$(BUILD)/$@; else prove -v tests/scenario/$*.sh; fi

bench-%: build ## one bench (bench-footprint, bench-deploy)
	@bench/$*

asan: deps ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/sanitize address,undefined

tsan: deps ## unit tests under ThreadSanitizer
	@tools/sanitize thread

fmt: ## lay out all sources as .clang-format says
	@clang-format -i $(SOURCES)

lint: ## formatting, ranks of the rooms, shell syntax
	@clang-format --dry-run -Werror $(SOURCES)
	@tools/check-layers

man: build ## bring the options in docs/man up to what --help says
	@tools/gen-man $(BUILD)

deb: $(if $(ARCH),cross-$(ARCH),build) ## Debian packages into build/deb/ (ARCH=arm64 or armhf: build-ARCH/deb/)
	@tools/build-deb $(if $(ARCH),build-$(ARCH) $(ARCH),$(BUILD))

cross-%: deps ## build for another architecture into build-ARCH/ (cross-arm64, cross-armhf)
	@tools/deps tools/packages-cross
	@tools/cross-build $*

test-engine: build ## the drivers' contract over crun, runc, cgroup v2, dockerd and Podman (minutes)
	@prove --timer tests/engine/*.sh

test-engine-%: build ## one of them: oci, v2, docker or podman
	@prove --timer tests/engine/driver-$*.sh

test-system: build ## the packages under a real systemd, in an emulator (a minute or two)
	@prove -v --timer tests/system/*.sh

test-cross: build ## both architectures: cross-builds, unit tests; an arm64 agent joins, an arm64 container runs
	@tools/deps tools/packages-cross || echo "test-cross: tests that need those packages are skipped"
	@tools/cross-test arm64
	@tools/cross-test armhf
	@prove --timer tests/cross/*.sh

test-cross-%: deps ## one of them: cross-build, and the agent's unit tests under qemu-user
	@tools/deps tools/packages-cross || echo "test-cross: tests that need those packages are skipped"
	@tools/cross-test $*

install: build ## install the executables (PREFIX, DESTDIR)
	@meson install -C $(BUILD) --quiet

.PHONY: help deps build demo test test-cross test-engine test-system asan tsan fmt lint man deb install
