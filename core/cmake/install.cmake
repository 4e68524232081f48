# cmake --install: the shared library, its header, the commands, pkg-config and CMake package files.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/presence)

install(TARGETS presence EXPORT presence-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/include/presence.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/include/presence/sim.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/presence)
if(TARGET presence_cli)
    install(TARGETS presence_cli presence_simulator RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# relative to the file itself, so that cmake --install --prefix and moving the folder keep it right
file(RELATIVE_PATH up "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
string(REGEX REPLACE "/$" "" up "${up}")
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(PRESENCE_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
    set(PRESENCE_PC_PREFIX "\${pcfiledir}/${up}")
endif()
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
    set(PRESENCE_PC_LIBDIR ${CMAKE_INSTALL_LIBDIR})
else()
    set(PRESENCE_PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
endif()
if(IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
    set(PRESENCE_PC_INCLUDEDIR ${CMAKE_INSTALL_INCLUDEDIR})
else()
    set(PRESENCE_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/presence.pc.in ${CMAKE_CURRENT_BINARY_DIR}/presence.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/presence.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(${CMAKE_CURRENT_SOURCE_DIR}/cmake/presence-config.cmake.in
                              ${CMAKE_CURRENT_BINARY_DIR}/presence-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/presence-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/presence-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/presence-config-version.cmake
        DESTINATION ${package_dir})
install(EXPORT presence-targets NAMESPACE presence:: DESTINATION ${package_dir})
