# SPDX-License-Identifier: MIT
# berth_revision: a library with the commit that the programs are built from (common/revision.h). It is
# asked for at each build, but recompiled only if it changed. BERTH_REVISION replaces git's answer where
# there is no repository: "COMMIT DATE".
if(CMAKE_SCRIPT_MODE_FILE)
    cmake_policy(VERSION 3.25)
    if(NOT BERTH_REVISION)
        set(git git -c "safe.directory=${SOURCE}" -C "${SOURCE}")
        execute_process(COMMAND ${git} log -1 "--format=%H %cs" OUTPUT_VARIABLE BERTH_REVISION
            OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        execute_process(COMMAND ${git} status --porcelain --untracked-files=no
            OUTPUT_VARIABLE changes ERROR_QUIET)
        if(changes)
            string(REPLACE " " "-modified " BERTH_REVISION "${BERTH_REVISION}")
        endif()
    endif()
    if(NOT BERTH_REVISION MATCHES "^([0-9a-f]+)(-modified)? ([0-9-]+)$")
        set(words "unknown commit")
    else()
        string(SUBSTRING "${CMAKE_MATCH_1}" 0 12 commit)
        set(words "commit ${commit}${CMAKE_MATCH_2}, ${CMAKE_MATCH_3}")
    endif()
    file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "#define BERTH_REVISION \"@words@\"\n" @ONLY)
    return()
endif()

set(BERTH_REVISION "" CACHE STRING "commit and its date, \"COMMIT DATE\"; empty: ask git")
set(revision_header "${CMAKE_BINARY_DIR}/generated/revision_words.h")
add_custom_target(berth_revision_header BYPRODUCTS "${revision_header}" VERBATIM
    COMMAND "${CMAKE_COMMAND}" "-DSOURCE=${CMAKE_SOURCE_DIR}" "-DOUTPUT=${revision_header}"
        "-DBERTH_REVISION=${BERTH_REVISION}" -P "${CMAKE_CURRENT_LIST_FILE}"
    COMMENT "commit")
add_library(berth_revision STATIC "${CMAKE_SOURCE_DIR}/common/revision.c")
target_link_libraries(berth_revision PUBLIC berth_flags)
target_include_directories(berth_revision PRIVATE "${CMAKE_BINARY_DIR}/generated")
add_dependencies(berth_revision berth_revision_header)
