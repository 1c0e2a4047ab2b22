# cpack runs this script on the installed files of all components. It compresses the man page, strips the static
# library, and writes copyright and changelog as Debian's policy requires.
file(GLOB components LIST_DIRECTORIES true ${CPACK_TEMPORARY_DIRECTORY}/*)
file(READ ${CPACK_SLUICE_SOURCE}/NOTICE notice)
string(REPLACE "(see LICENSE)" "(see /usr/share/common-licenses/Apache-2.0)" notice "${notice}")
foreach(root ${components})
  cmake_path(GET root FILENAME component)
  if(component STREQUAL "program")
    set(package sluice)
  elseif(component STREQUAL "development")
    set(package libsluice-dev)
  else()
    continue()
  endif()
  set(doc ${root}/usr/share/doc/${package})
  file(MAKE_DIRECTORY ${doc})
  file(REMOVE ${doc}/LICENSE ${doc}/NOTICE)
  file(WRITE ${doc}/copyright "${notice}")
  file(WRITE ${doc}/changelog.Debian
    "sluice (${CPACK_SLUICE_VERSION}) stable; urgency=medium\n\n  * New version; see changelog.gz of the package sluice.\n\n"
    " -- The sluice authors <maintainers@sluice.example>  Sat, 28 Nov 2026 00:00:00 +0000\n")
  if(component STREQUAL "program")
    # The service is not enabled, because it needs settings first.
    file(COPY ${CPACK_SLUICE_SOURCE}/cmake/package/sluice.service DESTINATION ${root}/lib/systemd/system
      FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
      DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endif()
  if(EXISTS ${doc}/CHANGELOG.md)
    file(RENAME ${doc}/CHANGELOG.md ${doc}/changelog)
    execute_process(COMMAND gzip -9n ${doc}/changelog COMMAND_ERROR_IS_FATAL ANY)
  endif()
  file(GLOB_RECURSE pages ${root}/usr/share/man/*.1)
  file(GLOB archives ${root}/usr/lib/*/*.a)
  execute_process(COMMAND gzip -9nf ${doc}/changelog.Debian ${pages} COMMAND_ERROR_IS_FATAL ANY)
  if(archives)
    # Removes the bytecode of link-time optimisation, which only the same compiler version can read.
    execute_process(COMMAND strip --strip-debug --strip-unneeded -R .gnu.lto_* -R .comment -R .note ${archives}
      COMMAND_ERROR_IS_FATAL ANY)
  endif()
  file(GLOB_RECURSE all LIST_DIRECTORIES false ${root}/usr/share/* ${root}/usr/include/* ${root}/usr/lib/*)
  foreach(one ${all})
    file(CHMOD ${one} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
  endforeach()
endforeach()
