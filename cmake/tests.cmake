# tests/ mirrors src/: one GoogleTest binary per directory. tests/integration uses everything and real models.
find_package(GTest REQUIRED)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
include(GoogleTest)

if(DEFINED ENV{XDG_CACHE_HOME})
    set(default_models "$ENV{XDG_CACHE_HOME}/plasticity/models")
else()
    set(default_models "$ENV{HOME}/.cache/plasticity/models")
endif()
set(PLASTICITY_TEST_MODELS "${default_models}" CACHE PATH "Where scripts/fetch_model puts models")
# The config of llama.cpp was found at PREFIX/lib*/cmake/llama, its tools lie at PREFIX/bin.
cmake_path(SET llama_tools NORMALIZE "${llama_DIR}/../../../bin")

# A library that lets system calls of the program go wrong; the sanitizers and coverage must not be in it.
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    add_library(plasticity_fault_preload MODULE ${CMAKE_SOURCE_DIR}/tests/faults/preload.c)
    target_compile_options(plasticity_fault_preload PRIVATE -fno-sanitize=all -fno-profile-arcs -fno-test-coverage)
    target_link_options(plasticity_fault_preload PRIVATE -fno-sanitize=all)
    set(fault_preload "PLASTICITY_TEST_PRELOAD=$<TARGET_FILE:plasticity_fault_preload>")
endif()

# What a test finds in its environment.
set(test_environment "PLASTICITY_TEST_MODELS=${PLASTICITY_TEST_MODELS}" "PLASTICITY_TEST_LLAMA_TOOLS=${llama_tools}"
                     "PLASTICITY_TEST_PROGRAM=$<TARGET_FILE:plasticity>" "PLASTICITY_TEST_SOURCES=${CMAKE_SOURCE_DIR}"
                     "UBSAN_OPTIONS=print_stacktrace=1" ${fault_preload})

# What tests of several directories share: tiny models, temporary directories.
file(GLOB support_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/support/*.cpp)
add_library(plasticity_test_support STATIC ${support_sources})
target_include_directories(plasticity_test_support PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_link_libraries(plasticity_test_support PUBLIC plasticity_model)

# plasticity_tests(<directory of tests/> <ctest label> <libraries>...)
function(plasticity_tests name label)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*.cpp)
    if(NOT sources)
        return()
    endif()
    add_executable(test_${name} ${sources})
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(test_${name} PRIVATE plasticity_test_support ${ARGN} GTest::gtest GTest::gtest_main)
    plasticity_unity(test_${name})
    # Tests are compiled for longer than they run; what they test keeps its optimisation.
    target_compile_options(test_${name} PRIVATE $<IF:$<CONFIG:Release>,-O1,-O0>)
    # Parameters are in the names already; printed as bytes they would differ from run to run.
    gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES
                         PROPERTIES LABELS ${label} TIMEOUT 600)
    # gtest_discover_tests passes on no property that is a list, so ctest sets this one once the tests are known.
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/test_${name}_environment.cmake CONTENT
         "foreach(test IN LISTS test_${name}_TESTS)
    set_tests_properties(\${test} PROPERTIES ENVIRONMENT \"${test_environment}\")
endforeach()
")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_BINARY_DIR}/test_${name}_environment.cmake)
endfunction()

set(unit_directories core io model artifact engine quant score plan compress heal verify infer serve api report ipc pipeline cli)
foreach(name IN LISTS unit_directories)
    plasticity_tests(${name} unit plasticity_${name})
endforeach()
set_target_properties(test_quant PROPERTIES UNITY_BUILD OFF)  # the same sizes and rows by the same names in all of them
plasticity_tests(integration real plasticity_cli)
foreach(target test_cli test_integration)
    if(TARGET ${target})
        add_dependencies(${target} plasticity)  # the tests run the program itself
        if(TARGET plasticity_fault_preload)
            add_dependencies(${target} plasticity_fault_preload)
        endif()
    endif()
endforeach()

# Everything that tests with the label unit run.
add_custom_target(unit_tests DEPENDS fuzz_make_seeds fuzz_replay)
foreach(name IN LISTS unit_directories)
    add_dependencies(unit_tests test_${name})
endforeach()

# Checks of the tree itself and of the set-up, in Python.
function(plasticity_script_test name script)
    add_test(NAME ${name} COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/${script} ${ARGN})
    set_tests_properties(${name} PROPERTIES LABELS unit)
endfunction()

plasticity_script_test(structure.tree structure/check_structure.py ${CMAKE_SOURCE_DIR})
plasticity_script_test(structure.self_test structure/check_structure_test.py)
plasticity_script_test(scripts.set_up scripts/scripts_test.py)
plasticity_script_test(docs.robustness docs/check_robustness.py ${CMAKE_SOURCE_DIR})

# Documentation whose commands run: see tests/docs.
foreach(page pipeline tutorial)
    add_test(NAME docs.${page} COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/docs/run_commands.py
             ${CMAKE_SOURCE_DIR}/docs/${page}.md $<TARGET_FILE:plasticity> ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
    set_tests_properties(docs.${page} PROPERTIES LABELS real TIMEOUT 2400 RUN_SERIAL ON)
endforeach()

# The server and the chat, on a real model and by real clients.
add_test(NAME serve.clients COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/serve/serve_test.py
         $<TARGET_FILE:plasticity> ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
set_tests_properties(serve.clients PROPERTIES LABELS real TIMEOUT 900 RUN_SERIAL ON)

# What is installed, and the Python package, as strangers use them.
if(BUILD_SHARED_LIBS AND NOT PLASTICITY_SANITIZE)
    add_test(NAME install.programs COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/install/install_test.py
             ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR} ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
    add_test(NAME install.python COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/install/python_test.py
             ${CMAKE_SOURCE_DIR} ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
    set_tests_properties(install.programs install.python PROPERTIES LABELS real TIMEOUT 1800)
endif()
# Jobs and pipelines on a real model, by a stranger's client: cancelled, killed, continued.
add_test(NAME ipc.clients COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/ipc/ipc_test.py
         $<TARGET_FILE:plasticity> ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
set_tests_properties(ipc.clients PROPERTIES LABELS real TIMEOUT 900 RUN_SERIAL ON)

# Several processes, on a real model.
if(MPI_C_FOUND AND MPIEXEC_EXECUTABLE)
    add_test(NAME score.mpi COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/mpi/mpi_test.py
             $<TARGET_FILE:plasticity> ${PLASTICITY_TEST_MODELS}/smollm2.gguf ${MPIEXEC_EXECUTABLE})
    set_tests_properties(score.mpi PROPERTIES LABELS real TIMEOUT 900 RUN_SERIAL ON)
endif()

# Tokenizers: stock libllama on the files written here against HF tokenizers on the files they were written from.
add_executable(tokenize_lines ${CMAKE_SOURCE_DIR}/tests/tokenizers/tokenize_lines.cpp)
target_link_libraries(tokenize_lines PRIVATE llama)
add_executable(write_tokenizer_files ${CMAKE_SOURCE_DIR}/tests/tokenizers/write_tokenizer_files.cpp)
target_link_libraries(write_tokenizer_files PRIVATE plasticity_model)
foreach(name qwen3 llama3 gemma3 deepseek_v3 llama2 gpt-2 deepseek-llm deepseek-coder smollm2)
    set(source "")
    if(name STREQUAL smollm2)
        set(source --gguf ${PLASTICITY_TEST_MODELS}/smollm2.gguf)
    endif()
    add_test(NAME tokenizers.${name} COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/tokenizers/compare.py ${name}
             --build ${CMAKE_BINARY_DIR} ${source})
    set_tests_properties(tokenizers.${name} PROPERTIES LABELS real TIMEOUT 600)
endforeach()
