# SPDX-License-Identifier: MIT
# The pinned libraries as imported targets, in link order.
function(berth_library name archive)
    add_library(${name} STATIC IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES
        IMPORTED_LOCATION "${BERTH_PREFIX}/lib/${archive}"
        INTERFACE_INCLUDE_DIRECTORIES "${BERTH_PREFIX}/include")
    if(ARGN)
        set_property(TARGET ${name} PROPERTY INTERFACE_LINK_LIBRARIES ${ARGN})
    endif()
endfunction()

berth_library(dep_crypto libcrypto.a)
berth_library(dep_ssl libssl.a dep_crypto)
berth_library(dep_sodium libsodium.a)
berth_library(dep_ssh libssh.a dep_crypto)
berth_library(dep_cjson libcjson.a)
berth_library(dep_expat libexpat.a)
berth_library(dep_curl libcurl.a dep_ssl)
