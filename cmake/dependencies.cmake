# Every library that the project stands on. All but llama.cpp come from the system's packages.

# scripts/setup leaves a link to the prefix it found or built here; the presets point at it. The link is resolved
# so that a build follows when set-up makes another prefix (a new version, other options, another CPU).
set(default_llama_prefix "")
if(SKBUILD)  # pip knows no presets
    set(default_llama_prefix "${CMAKE_SOURCE_DIR}/build/llama.cpp")
endif()
set(PLASTICITY_LLAMA_PREFIX "${default_llama_prefix}" CACHE PATH "Where llama.cpp is installed; empty: CMake's usual search")
if(PLASTICITY_LLAMA_PREFIX)
    file(REAL_PATH "${PLASTICITY_LLAMA_PREFIX}" llama_prefix BASE_DIRECTORY "${CMAKE_SOURCE_DIR}")
    if(NOT EXISTS "${llama_prefix}/include/llama.h")
        message(FATAL_ERROR "no llama.cpp is installed at ${PLASTICITY_LLAMA_PREFIX}: run scripts/setup first, "
                            "or pass -DPLASTICITY_LLAMA_PREFIX=DIR with a prefix that holds include/llama.h")
    endif()
    list(PREPEND CMAKE_PREFIX_PATH "${llama_prefix}")
    if(NOT "${PLASTICITY_LLAMA_PREFIX_USED}" STREQUAL "${llama_prefix}")
        get_cmake_property(cached_names CACHE_VARIABLES)
        foreach(name IN LISTS cached_names)
            if(name MATCHES "^(ggml_DIR|llama_DIR|llama_LIBRARY|GGML_.*LIBRARY.*)$")
                unset(${name} CACHE)
            endif()
        endforeach()
        set(PLASTICITY_LLAMA_PREFIX_USED "${llama_prefix}" CACHE INTERNAL "")
    endif()
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(PkgConfig REQUIRED)
# The server derives from httplib's, whose protected functions differ from version to version.
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET "cpp-httplib >= 0.11" "cpp-httplib < 0.12")
find_package(yaml-cpp 0.7 REQUIRED)
pkg_check_modules(RE2 REQUIRED IMPORTED_TARGET re2)
find_package(hwy REQUIRED)
find_package(Eigen3 3.4 REQUIRED NO_MODULE)
find_package(ggml REQUIRED)
find_package(llama REQUIRED)
# ggml's own configuration names CUDA's libraries only for programs that are static altogether.
if(NOT GGML_SHARED_LIB AND "ggml-cuda" IN_LIST GGML_AVAILABLE_BACKENDS)
    find_package(CUDAToolkit REQUIRED)
    target_link_libraries(ggml::ggml-cuda INTERFACE CUDA::cudart CUDA::cublas CUDA::cublasLt CUDA::cuda_driver)
endif()

# ggml's devices are compiled into ggml, so these options only check that set-up was asked for the same ones.
foreach(device CUDA VULKAN METAL)
    option(PLASTICITY_${device} "ggml with its ${device} backend" OFF)
    string(TOLOWER "ggml-${device}" backend)
    if(PLASTICITY_${device} AND NOT backend IN_LIST GGML_AVAILABLE_BACKENDS)
        message(FATAL_ERROR "PLASTICITY_${device}=ON, but the llama.cpp found has only: ${GGML_AVAILABLE_BACKENDS}. "
                            "Run: PLASTICITY_${device}=ON scripts/setup")
    endif()
endforeach()

# `mpirun plasticity score`; built in where there is an MPI.
set(PLASTICITY_MPI AUTO CACHE STRING "Distributed scoring by MPI: AUTO (where it is found), ON or OFF")
set_property(CACHE PLASTICITY_MPI PROPERTY STRINGS AUTO ON OFF)
if(PLASTICITY_MPI STREQUAL "AUTO")
    find_package(MPI QUIET COMPONENTS C)
elseif(PLASTICITY_MPI)
    find_package(MPI REQUIRED COMPONENTS C)
endif()
