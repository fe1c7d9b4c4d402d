# SPDX-License-Identifier: MIT
# berth_unit_test(NAME SOURCE LIBRARY...): a cmocka program that ctest runs.
function(berth_unit_test name source)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${ARGN} berth_common cmocka)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endfunction()

# berth_fuzz_target(NAME SOURCE LIBRARY...): a libFuzzer program; its corpus is tests/fuzz/corpus/NAME.
function(berth_fuzz_target name source)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${ARGN} berth_common)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()
