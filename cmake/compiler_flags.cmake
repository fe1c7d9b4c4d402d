# SPDX-License-Identifier: MIT
# One interface target with the flags of the chosen build; every target of ours links it.
add_library(berth_flags INTERFACE)
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

target_include_directories(berth_flags INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_definitions(berth_flags INTERFACE
    _GNU_SOURCE BERTH_VERSION="${PROJECT_VERSION}" WITH_SERVER=1 LIBSSH_STATIC=1 CURL_STATICLIB=1 XML_STATIC=1)
target_compile_options(berth_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wcast-qual -fno-strict-aliasing -fvisibility=hidden
    "-ffile-prefix-map=${CMAKE_SOURCE_DIR}=." "-ffile-prefix-map=${CMAKE_BINARY_DIR}=build"
    # The last that matches counts: the libraries may be inside or outside the sources.
    "-ffile-prefix-map=${BERTH_PREFIX}=libraries")
target_compile_options(berth_flags INTERFACE -include common/banned.h)

if(BERTH_BUILD STREQUAL "release")
    target_compile_options(berth_flags INTERFACE
        -O2 -g -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong
        -fno-asynchronous-unwind-tables -fno-unwind-tables)
    target_link_options(berth_flags INTERFACE -Wl,--gc-sections,--build-id=sha1)
elseif(BERTH_BUILD STREQUAL "sanitize")
    target_compile_options(berth_flags INTERFACE
        -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    target_link_options(berth_flags INTERFACE -fsanitize=address,undefined)
else()
    target_compile_options(berth_flags INTERFACE -O1 -g -fsanitize=fuzzer-no-link,address,undefined
        -fno-sanitize-recover=undefined)
    target_link_options(berth_flags INTERFACE -fsanitize=fuzzer,address,undefined)
endif()
