# Defines the files that `cmake --install` installs, and the Debian packages that `cpack` makes from them. Component
# program: the program, its man page and completions. Component development: the library, its headers, and the files for
# CMake and pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(SLUICE_DATE 2026-11-28 CACHE STRING "Day of this version, for the man page")

# The man page and the completions, which the build generates.
set(documents ${PROJECT_BINARY_DIR}/documents)
file(MAKE_DIRECTORY ${documents})
add_custom_command(OUTPUT ${documents}/sluice.1
  COMMAND write_manual man ${SLUICE_DATE} > ${documents}/sluice.1 DEPENDS write_manual VERBATIM)
set(made ${documents}/sluice.1)
foreach(shell bash zsh fish)
  add_custom_command(OUTPUT ${documents}/sluice.${shell}
    COMMAND sluice_program completion ${shell} > ${documents}/sluice.${shell} DEPENDS sluice_program VERBATIM)
  list(APPEND made ${documents}/sluice.${shell})
endforeach()
add_custom_target(sluice_documents ALL DEPENDS ${made})

install(TARGETS sluice_program RUNTIME COMPONENT program)
install(FILES ${documents}/sluice.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT program)
install(FILES ${documents}/sluice.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
  RENAME sluice COMPONENT program)
install(FILES ${documents}/sluice.zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions
  RENAME _sluice COMPONENT program)
install(FILES ${documents}/sluice.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d
  COMPONENT program)
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT program)

# A portable build installs only the program. It uses other libraries than a system that would link the static library.
if(SLUICE_STATIC)
  return()
endif()

# The library: one static archive with all rooms that a job needs.
foreach(part account asio async base config data engine files http http_wire jobs json money openai tokenizer tokens
    upstream usd vocabularies)
  list(APPEND objects $<TARGET_OBJECTS:sluice_${part}>)
endforeach()
add_library(sluice_archive STATIC ${objects})
set_target_properties(sluice_archive PROPERTIES
  OUTPUT_NAME sluice EXPORT_NAME sluice LINKER_LANGUAGE CXX)
target_compile_features(sluice_archive INTERFACE cxx_std_20)
get_target_property(asio_definitions sluice_asio INTERFACE_COMPILE_DEFINITIONS)
target_compile_definitions(sluice_archive INTERFACE ${asio_definitions})
target_include_directories(sluice_archive INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(sluice_archive INTERFACE
  Boost::headers Boost::url OpenSSL::SSL OpenSSL::Crypto Threads::Threads ZLIB::ZLIB fmt::fmt simdjson::simdjson
  $<INSTALL_INTERFACE:zstd> $<INSTALL_INTERFACE:xxhash>)

install(TARGETS sluice_archive EXPORT sluice_targets ARCHIVE COMPONENT development)
install(EXPORT sluice_targets NAMESPACE sluice:: FILE sluice-targets.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sluice COMPONENT development)
configure_file(cmake/sluice-config.cmake.in ${documents}/sluice-config.cmake @ONLY)
write_basic_package_version_file(${documents}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${documents}/sluice-config.cmake ${documents}/sluice-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/sluice COMPONENT development)
file(RELATIVE_PATH PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/sluice.pc.in ${documents}/sluice.pc @ONLY)
install(FILES ${documents}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(DIRECTORY include/sluice DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
  FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PROJECT_BINARY_DIR}/src/include/sluice/version.hpp
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sluice COMPONENT development)

include(cmake/package/deb.cmake)
