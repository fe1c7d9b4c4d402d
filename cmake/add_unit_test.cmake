# SPDX-License-Identifier: MIT
# berth_unit_test(NAME SOURCE LIBRARY...): a cmocka program for ctest, with an empty home directory and
# without variables that make shells read start-up files of the user.
function(berth_unit_test name source)
    set(home "${CMAKE_BINARY_DIR}/tests/empty-home")
    file(MAKE_DIRECTORY "${home}")
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${ARGN} berth_common cmocka)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120 ENVIRONMENT_MODIFICATION
        "HOME=set:${home};BASH_ENV=unset:;ENV=unset:;SSH_CLIENT=unset:;SSH2_CLIENT=unset:")
endfunction()

# berth_fuzz_target(NAME SOURCE LIBRARY...): a libFuzzer program; its corpus is tests/fuzz/corpus/NAME.
function(berth_fuzz_target name source)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${ARGN} berth_common)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()
