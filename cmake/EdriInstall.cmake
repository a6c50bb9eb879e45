# SPDX-License-Identifier: MIT
# EdriInstall.cmake - what `cmake --install` lays down: headers, libedri, the
# programs, the .proto files, EdriConfig.cmake and edri.pc.

include(CMakePackageConfigHelpers)
set(EDRI_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/Edri)

set(programs edri-node edri-switch protoc-gen-edri)
if(EDRI_TOOLS)
  list(APPEND programs edri-cli)
endif()
file(RELATIVE_PATH bin_to_lib
  ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(${programs} PROPERTIES
  INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
install(TARGETS ${programs} RUNTIME)

install(TARGETS edri EXPORT EdriTargets LIBRARY)
install(EXPORT EdriTargets NAMESPACE Edri:: DESTINATION ${EDRI_CMAKE_DIR})
install(DIRECTORY lib/include/edri TYPE INCLUDE)
install(DIRECTORY proto/edri TYPE INCLUDE FILES_MATCHING PATTERN "*.proto")
# Generated code of users includes the C forms of what they import.
install(FILES ${PROJECT_BINARY_DIR}/proto/edri/event.pb-c.h
  ${PROJECT_BINARY_DIR}/proto/edri/system.pb-c.h
  ${PROJECT_BINARY_DIR}/proto/edri/system.edri.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/edri)
install(DIRECTORY ${PROJECT_BINARY_DIR}/proto/google TYPE INCLUDE
  FILES_MATCHING PATTERN "*.pb-c.h")

configure_package_config_file(
  cmake/EdriConfig.cmake.in ${PROJECT_BINARY_DIR}/EdriConfig.cmake
  INSTALL_DESTINATION ${EDRI_CMAKE_DIR}
  PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/EdriConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH EDRI_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/edri.pc.in edri.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/EdriConfig.cmake
  ${PROJECT_BINARY_DIR}/EdriConfigVersion.cmake cmake/EdriEvents.cmake
  DESTINATION ${EDRI_CMAKE_DIR})
install(FILES ${PROJECT_BINARY_DIR}/edri.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
