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

# What a test finds in its environment.
set(test_environment "PLASTICITY_TEST_MODELS=${PLASTICITY_TEST_MODELS}" "PLASTICITY_TEST_LLAMA_TOOLS=${llama_tools}"
                     "PLASTICITY_TEST_PROGRAM=$<TARGET_FILE:plasticity>" "UBSAN_OPTIONS=print_stacktrace=1")

# plasticity_tests(<directory of tests/> <ctest label> <libraries>...)
function(plasticity_tests name label)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*.cpp)
    if(NOT sources)
        return()
    endif()
    add_executable(test_${name} ${sources})
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(test_${name} PRIVATE ${ARGN} GTest::gtest GTest::gtest_main)
    gtest_discover_tests(test_${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60
                         PROPERTIES LABELS ${label} TIMEOUT 600)
    # gtest_discover_tests passes on no property that is a list, so ctest sets this one once the tests are known.
    file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/test_${name}_environment.cmake CONTENT
         "foreach(test IN LISTS test_${name}_TESTS)
    set_tests_properties(\${test} PROPERTIES ENVIRONMENT \"${test_environment}\")
endforeach()
")
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_BINARY_DIR}/test_${name}_environment.cmake)
endfunction()

foreach(name core io model artifact engine quant score plan compress verify infer cli)
    plasticity_tests(${name} unit plasticity_${name})
endforeach()
plasticity_tests(integration real plasticity_cli)
if(TARGET test_integration)
    add_dependencies(test_integration plasticity)  # the tests run the program itself
endif()

add_test(NAME structure.tree
         COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/structure/check_structure.py ${CMAKE_SOURCE_DIR})
add_test(NAME structure.self_test
         COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/tests/structure/check_structure_test.py)
set_tests_properties(structure.tree structure.self_test PROPERTIES LABELS unit)
