# One static library per directory of src/: what a directory may include is what it links.
function(plasticity_library name)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp ${CMAKE_SOURCE_DIR}/src/${name}/*/*.cpp)
    list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
    add_library(plasticity_${name} STATIC ${sources})
    target_include_directories(plasticity_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
    target_link_libraries(plasticity_${name} PUBLIC fmt::fmt nlohmann_json::nlohmann_json ${ARGN})
    plasticity_unity(plasticity_${name})
endfunction()

plasticity_library(core OpenSSL::Crypto PkgConfig::RE2 Threads::Threads)
if(MPI_C_FOUND)
    # The C++ interface that MPI 3 removed would have to be linked, too.
    target_compile_definitions(plasticity_core PRIVATE PLASTICITY_MPI OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
    target_link_libraries(plasticity_core PRIVATE MPI::MPI_C)
endif()
plasticity_library(io plasticity_core ggml::ggml yaml-cpp)
plasticity_library(model plasticity_io)
plasticity_library(artifact plasticity_model)
plasticity_library(engine plasticity_artifact llama)
plasticity_library(quant plasticity_artifact hwy::hwy Eigen3::Eigen)
# Products and sums are rounded one by one, so that every vector instruction set gives the same bytes.
target_compile_options(plasticity_quant PRIVATE -ffp-contract=off)
# Threads are ours to share out; and sums must not depend on how many there are.
target_compile_definitions(plasticity_quant PRIVATE EIGEN_DONT_PARALLELIZE)
# Highway includes each source once for every instruction set, which one compilation of several does not survive.
set_target_properties(plasticity_quant PROPERTIES UNITY_BUILD OFF)
plasticity_library(score plasticity_engine)
plasticity_library(plan plasticity_engine plasticity_quant)
plasticity_library(compress plasticity_quant)
plasticity_library(verify plasticity_engine plasticity_quant)
plasticity_library(heal plasticity_engine plasticity_quant)
plasticity_library(infer plasticity_engine)
plasticity_library(serve plasticity_engine PkgConfig::HTTPLIB)
plasticity_library(api plasticity_score plasticity_heal plasticity_plan plasticity_compress plasticity_verify plasticity_infer)
plasticity_library(ipc plasticity_artifact)
plasticity_library(pipeline plasticity_ipc)
plasticity_library(report plasticity_artifact)
plasticity_library(cli plasticity_serve plasticity_api plasticity_pipeline plasticity_report CLI11::CLI11)

# The page that the server shows is a part of the program.
set(chat_page ${CMAKE_SOURCE_DIR}/src/serve/page.html)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${chat_page})
file(READ ${chat_page} chat_page_html)
configure_file(${CMAKE_SOURCE_DIR}/cmake/chat_page.cpp.in ${CMAKE_BINARY_DIR}/generated/serve/chat_page.cpp @ONLY)
target_sources(plasticity_serve PRIVATE ${CMAKE_BINARY_DIR}/generated/serve/chat_page.cpp)

# So are the style and the script of a run's page.
foreach(asset css js)
    set(report_asset ${CMAKE_SOURCE_DIR}/src/report/page.${asset})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${report_asset})
    file(READ ${report_asset} report_page_${asset})
endforeach()
configure_file(${CMAKE_SOURCE_DIR}/cmake/report_assets.cpp.in ${CMAKE_BINARY_DIR}/generated/report/page_assets.cpp @ONLY)
target_sources(plasticity_report PRIVATE ${CMAKE_BINARY_DIR}/generated/report/page_assets.cpp)

# Outputs say which llama.cpp they were made with. What set-up built comes from one pinned source (scripts/common.sh).
set(llama_cpp_version "${LLAMA_VERSION}")
if("${PLASTICITY_LLAMA_PREFIX_USED}" MATCHES "/llama\\.cpp-[0-9a-f]+$")
    file(STRINGS ${CMAKE_SOURCE_DIR}/scripts/common.sh pin REGEX "^llama_archive(_sha256)?=")
    string(REGEX REPLACE "llama_archive(_sha256)?=" "" pin "${pin}")
    list(JOIN pin " SHA-256 " pin)
    string(APPEND llama_cpp_version " (${pin})")
endif()
# The version is stated once, in project(); #include "core/version.h" gives it to the code, "plasticity/version.h"
# to programs that link the library.
configure_file(${CMAKE_SOURCE_DIR}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/core/version.h @ONLY)
configure_file(${CMAKE_SOURCE_DIR}/cmake/public_version.h.in ${CMAKE_BINARY_DIR}/generated/plasticity/version.h @ONLY)
target_include_directories(plasticity_core PUBLIC ${CMAKE_BINARY_DIR}/generated)

# A file in src/model/families is a family of models: it defines `const Family& families::<file name>()`, and this makes
# the list of them all.
file(GLOB family_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/model/families/*.cpp)
set(family_declarations "")
set(family_names "")
# All of them name their functions alike.
set_source_files_properties(${family_sources} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
foreach(source IN LISTS family_sources)
    cmake_path(GET source STEM family)
    string(APPEND family_declarations "const Family& ${family}();\n")
    list(APPEND family_names "&${family}()")
endforeach()
list(JOIN family_names ", " family_names)
configure_file(${CMAKE_SOURCE_DIR}/cmake/family_list.h.in ${CMAKE_BINARY_DIR}/generated/model/family_list.h @ONLY)

add_executable(plasticity ${CMAKE_SOURCE_DIR}/src/cli/main.cpp)
target_link_libraries(plasticity PRIVATE plasticity_cli)
