# SPDX-License-Identifier: MIT
# EdriEvents.cmake - edri_add_events(target file.proto... [IMPORT_DIRS dir...])
#
# Makes x.pb-c.h/.c (protoc-gen-c) and x.edri.h/.c (protoc-gen-edri) from each
# x.proto in the build tree and adds them to the target, which then includes
# "x.edri.h" and links Edri::edri.  A file is found by its path below its own
# directory, or below one of IMPORT_DIRS.

function(edri_add_events target)
  cmake_parse_arguments(ARG "" "" "IMPORT_DIRS" ${ARGN})
  if(NOT TARGET ${target})
    message(FATAL_ERROR "edri_add_events: ${target} is no target")
  endif()
  if(NOT ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "edri_add_events(${target}): no .proto file given")
  endif()
  if(TARGET protoc-gen-edri)
    set(plugin $<TARGET_FILE:protoc-gen-edri>)
    set(plugin_target protoc-gen-edri)
  else()
    set(plugin ${EDRI_PROTOC_PLUGIN})
    set(plugin_target ${EDRI_PROTOC_PLUGIN})
  endif()
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}.events)
  file(MAKE_DIRECTORY ${out})
  set(imports)
  foreach(dir ${ARG_IMPORT_DIRS})
    get_filename_component(dir ${dir} ABSOLUTE)
    list(APPEND imports -I${dir})
  endforeach()
  foreach(proto ${ARG_UNPARSED_ARGUMENTS})
    get_filename_component(path ${proto} ABSOLUTE)
    get_filename_component(dir ${path} DIRECTORY)
    get_filename_component(name ${path} NAME_WE)
    if(NOT path MATCHES "\\.proto$" OR NOT EXISTS ${path})
      message(FATAL_ERROR
        "edri_add_events(${target}): ${proto}: no such .proto file")
    endif()
    add_custom_command(
      OUTPUT ${out}/${name}.pb-c.c ${out}/${name}.pb-c.h
             ${out}/${name}.edri.c ${out}/${name}.edri.h
      COMMAND ${EDRI_PROTOC} -I${dir} ${imports} -I${EDRI_PROTO_PATH}
              -I${EDRI_PROTOBUF_PATH}
              --plugin=protoc-gen-edri=${plugin}
              --c_out=${out} --edri_out=${out} ${path}
      DEPENDS ${path} ${plugin_target}
      COMMENT "Events of ${proto}" VERBATIM)
    target_sources(${target} PRIVATE
      ${out}/${name}.pb-c.c ${out}/${name}.edri.c)
    # protoc-gen-c casts const away; that is not the user's to mend.
    set_source_files_properties(${out}/${name}.pb-c.c ${out}/${name}.edri.c
      PROPERTIES COMPILE_OPTIONS -Wno-cast-qual)
  endforeach()
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC Edri::edri)
endfunction()
