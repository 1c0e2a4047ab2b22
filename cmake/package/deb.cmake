# Debian packages: sluice (the program) and libsluice-dev (the library), by `cpack -G DEB`.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME sluice)
set(CPACK_PACKAGE_VENDOR "The sluice authors")
set(CPACK_PACKAGE_CONTACT "The sluice authors <maintainers@sluice.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "bulk completions through a rate-limited relay")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME sluice)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION utils)
# The program loads libpq only if --store names a PostgreSQL database.
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS libpq5)
# cpack writes the summary as the first line of the description.
set(CPACK_DEBIAN_PROGRAM_DESCRIPTION "This program takes a JSONL job of LLM requests through a rate-limited,
 OpenAI-compatible relay or API, and brings back every result once,
 with its tokens and its exact cost. It resumes after any kill, keeps a
 budget, and measures and tests relays.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libsluice-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "libboost1.81-dev, libboost-url1.81-dev, libssl-dev, zlib1g-dev, libzstd-dev, libxxhash-dev, libfmt-dev, libsimdjson-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "C++ library of sluice
 The headers and the static library of sluice, which sends jobs of LLM
 requests through a rate-limited relay, with CMake and pkg-config files.")

# Adds the files that Debian's policy requires to each package.
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package/finish_deb.cmake)
set(CPACK_SLUICE_SOURCE ${PROJECT_SOURCE_DIR})
set(CPACK_SLUICE_VERSION ${PROJECT_VERSION}-1)

include(CPack)
