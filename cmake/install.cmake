# One library of all layers for other programs, and where everything goes: the components program, library, development.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

option(BUILD_SHARED_LIBS "The installed library is shared and holds ggml and libllama; OFF: static, and names them" ON)
set(stage_libraries core io model artifact engine quant score plan compress heal verify infer serve api)
set(plasticity_objects "")
foreach(name IN LISTS stage_libraries)
    list(APPEND plasticity_objects $<TARGET_OBJECTS:plasticity_${name}>)
endforeach()
add_library(plasticity_library ${plasticity_objects})
set_target_properties(plasticity_library PROPERTIES OUTPUT_NAME plasticity EXPORT_NAME plasticity LINKER_LANGUAGE CXX
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
target_compile_features(plasticity_library INTERFACE cxx_std_20)
target_include_directories(plasticity_library INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
add_library(plasticity::plasticity ALIAS plasticity_library)

# What the layers link; a shared library has no use for it once it is linked.
set(static_libraries fmt::fmt OpenSSL::Crypto PkgConfig::RE2 yaml-cpp Threads::Threads llama ggml::ggml hwy::hwy PkgConfig::HTTPLIB)
if(MPI_C_FOUND)
    list(APPEND static_libraries MPI::MPI_C)
endif()
if(BUILD_SHARED_LIBS)
    target_link_libraries(plasticity_library PRIVATE ${static_libraries})
    if(NOT APPLE)
        # Headers of the standard library and ggml leave symbols of their own in every object.
        target_link_options(plasticity_library PRIVATE LINKER:--version-script=${CMAKE_SOURCE_DIR}/cmake/exports.map)
        if(NOT PLASTICITY_SANITIZE)  # whose symbols are the program's
            target_link_options(plasticity_library PRIVATE LINKER:-z,defs)
        endif()
        set_property(TARGET plasticity_library PROPERTY LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/exports.map)
    endif()
else()
    target_link_libraries(plasticity_library INTERFACE ${static_libraries})
endif()

install(TARGETS plasticity RUNTIME COMPONENT program)
install(TARGETS plasticity_library EXPORT plasticity
        LIBRARY COMPONENT library NAMELINK_COMPONENT development ARCHIVE COMPONENT development)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/plasticity DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/generated/plasticity/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/plasticity
        COMPONENT development)

# find_package(plasticity). A static library finds again what it was built with.
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/plasticity)
install(EXPORT plasticity NAMESPACE plasticity:: FILE plasticity-targets.cmake DESTINATION ${package_folder}
        COMPONENT development)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/plasticity-config.cmake.in
                              ${CMAKE_BINARY_DIR}/generated/plasticity-config.cmake INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/plasticity-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/plasticity-config.cmake
        ${CMAKE_BINARY_DIR}/generated/plasticity-config-version.cmake DESTINATION ${package_folder} COMPONENT development)

# pkg-config plasticity. The prefix follows from where the file lies, so that the tree can be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
           OUTPUT_VARIABLE pkgconfig_to_prefix)
set(pkgconfig_static "")
if(NOT BUILD_SHARED_LIBS)
    set(pkgconfig_static "Requires: fmt libcrypto re2 yaml-cpp libhwy cpp-httplib llama\nLibs.private: -lggml -lggml-cpu -lggml-base -lstdc++ -lgomp -lm -pthread\n")
endif()
configure_file(${CMAKE_SOURCE_DIR}/cmake/plasticity.pc.in ${CMAKE_BINARY_DIR}/generated/plasticity.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/generated/plasticity.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT development)

# What people look up, made by the program itself.
set(reference_folder ${CMAKE_BINARY_DIR}/reference)
string(TIMESTAMP today "%Y-%m-%d" UTC)  # or of SOURCE_DATE_EPOCH
add_custom_command(OUTPUT ${reference_folder}/made VERBATIM DEPENDS plasticity
                   COMMAND plasticity reference man -o ${reference_folder}/man1 --date ${today}
                   COMMAND plasticity reference bash -o ${reference_folder}
                   COMMAND plasticity reference zsh -o ${reference_folder}
                   COMMAND plasticity reference fish -o ${reference_folder}
                   COMMAND ${CMAKE_COMMAND} -E touch ${reference_folder}/made)
add_custom_target(reference ALL DEPENDS ${reference_folder}/made)
set(PLASTICITY_ZSH_FOLDER ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Where zsh's completion is installed")
install(DIRECTORY ${reference_folder}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} COMPONENT program)
install(FILES ${reference_folder}/plasticity.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
        RENAME plasticity COMPONENT program)
install(FILES ${reference_folder}/plasticity.zsh DESTINATION ${PLASTICITY_ZSH_FOLDER} RENAME _plasticity COMPONENT program)
install(FILES ${reference_folder}/plasticity.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
        COMPONENT program)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/plasticity RENAME copyright
        COMPONENT program)
