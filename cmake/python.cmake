# The Python package `plasticity`; pip install . configures this (pyproject.toml).
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir OUTPUT_STRIP_TRAILING_WHITESPACE
                OUTPUT_VARIABLE nanobind_ROOT COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)

nanobind_add_module(plasticity_python NB_STATIC ${CMAKE_SOURCE_DIR}/python/native.cpp)
# Not this project's code: neither its sources nor its headers are held to our warnings.
target_compile_options(nanobind-static PRIVATE -w)
get_target_property(nanobind_headers nanobind-static INTERFACE_INCLUDE_DIRECTORIES)
target_include_directories(plasticity_python SYSTEM PRIVATE ${nanobind_headers} ${Python_INCLUDE_DIRS})
set_target_properties(plasticity_python PROPERTIES OUTPUT_NAME _native)
target_link_libraries(plasticity_python PRIVATE plasticity_api)
if(NOT APPLE)
    target_link_options(plasticity_python PRIVATE LINKER:--exclude-libs,ALL)
endif()

nanobind_add_stub(plasticity_python_stub MODULE _native OUTPUT ${CMAKE_BINARY_DIR}/_native.pyi
                  PYTHON_PATH $<TARGET_FILE_DIR:plasticity_python> DEPENDS plasticity_python)
install(TARGETS plasticity_python LIBRARY DESTINATION plasticity COMPONENT python)
install(FILES ${CMAKE_BINARY_DIR}/_native.pyi DESTINATION plasticity COMPONENT python)
