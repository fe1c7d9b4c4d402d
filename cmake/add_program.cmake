# SPDX-License-Identifier: MIT
# berth_program(NAME SOURCE LIBRARY...): a program in bin/ that 'cmake --install' installs. A release
# build moves its debug information into bin/NAME.debug, which gdb finds by build id or by name.
function(berth_program name source)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${ARGN})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
    if(BERTH_BUILD STREQUAL "release")
        add_custom_command(TARGET ${name} POST_BUILD WORKING_DIRECTORY "${CMAKE_BINARY_DIR}/bin"
            COMMAND "${CMAKE_OBJCOPY}" --only-keep-debug ${name} ${name}.debug
            COMMAND "${CMAKE_OBJCOPY}" --strip-all --add-gnu-debuglink=${name}.debug ${name}
            BYPRODUCTS "${CMAKE_BINARY_DIR}/bin/${name}.debug" VERBATIM)
    endif()
    install(TARGETS ${name} RUNTIME)
endfunction()
