# How the project's own code is compiled. What it links (llama.cpp, the system's libraries) is left as it is.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# The shared library and the Python module are made of the same objects as the program, and show what PLASTICITY_API marks.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)

if(NOT CMAKE_CXX_COMPILER_LAUNCHER)
    find_program(CCACHE_PROGRAM ccache)
    if(CCACHE_PROGRAM)
        set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
    endif()
endif()

# Several sources of a directory in one compilation: the libraries' headers, which are most of the work, are read once
# for all of them. Names in unnamed namespaces therefore differ within a directory.
option(PLASTICITY_UNITY "Compile several sources at once; OFF suits a search for missing includes" ON)
function(plasticity_unity target)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ${PLASTICITY_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()

# Designated initialisers leave members out on purpose: their defaults are the documentation.
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
                    -Wno-missing-field-initializers -Werror)

set(PLASTICITY_SANITIZE "" CACHE STRING "Sanitizers for the project's own code, e.g. address,undefined")
if(PLASTICITY_SANITIZE)
    add_compile_options(-fsanitize=${PLASTICITY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${PLASTICITY_SANITIZE})
    # With the sanitizers' extra control flow g++ 12 reports these inside the standard library; the other builds keep them.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        add_compile_options(-Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds)
    endif()
endif()

option(PLASTICITY_FUZZ "libFuzzer programs (needs clang); see fuzz/" OFF)
if(PLASTICITY_FUZZ)
    # clang reports the standard library's own use of get_temporary_buffer in std::stable_sort.
    add_compile_options(-fsanitize=fuzzer-no-link -Wno-deprecated-declarations)
endif()

option(PLASTICITY_COVERAGE "Count the lines that the tests reach" OFF)
if(PLASTICITY_COVERAGE)
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()
