# SPDX-License-Identifier: MIT
# EdriBuild.cmake - helpers of this tree; directory lists stay short.

# Flags that every target of ours gets; never global.
add_library(edri_flags INTERFACE)
target_compile_features(edri_flags INTERFACE c_std_11)
target_compile_definitions(edri_flags INTERFACE _GNU_SOURCE)
target_compile_options(edri_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual
  -Wwrite-strings -Wformat=2 -Wswitch-enum -Wvla
  $<$<BOOL:${EDRI_WERROR}>:-Werror>)
if(EDRI_SANITIZE)
  target_compile_options(edri_flags INTERFACE
    -fsanitize=${EDRI_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(edri_flags INTERFACE -fsanitize=${EDRI_SANITIZE})
endif()

# The library and the switch of a release are optimised as a whole: an event crosses a
# dozen small files on its way.  Objects hold ordinary code, too, with which all other
# programs are linked, sooner.
if(CMAKE_BUILD_TYPE STREQUAL RelWithDebInfo AND NOT EDRI_SANITIZE
    AND CMAKE_C_COMPILER_ID STREQUAL GNU)
  set(edri_whole_options -flto=auto -ffat-lto-objects)
  target_link_options(edri_flags INTERFACE
    $<$<NOT:$<BOOL:$<TARGET_PROPERTY:EDRI_WHOLE>>>:-fno-lto>)
endif()

# edri_whole(target): it is linked that way.
function(edri_whole target)
  set_target_properties(${target} PROPERTIES EDRI_WHOLE ON)
  target_compile_options(${target} PRIVATE ${edri_whole_options})
  target_link_options(${target} PRIVATE ${edri_whole_options})
endfunction()

# edri_module(name SOURCES... [LINK targets...]): one layer as objects; what
# links to it gets the objects and its include path.
function(edri_module name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_library(edri_${name} OBJECT ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(edri_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(edri_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/lib/include ${PROJECT_SOURCE_DIR}/lib)
  target_compile_options(edri_${name} PRIVATE ${edri_whole_options})
  target_link_libraries(edri_${name} PUBLIC ${ARG_LINK} PRIVATE edri_flags)
endfunction()

# edri_run_test(name): ctest runs test_NAME, with what tests need around them.
function(edri_run_test name)
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 120 ENVIRONMENT
    "ASAN_OPTIONS=log_path=${PROJECT_BINARY_DIR}/asan.log:detect_leaks=1;LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0;UBSAN_OPTIONS=print_stacktrace=1;EDRI_BIN=${PROJECT_BINARY_DIR}/bin;EDRI_LIB=${PROJECT_BINARY_DIR}/lib;EDRI_SRC=${PROJECT_SOURCE_DIR}")
endfunction()

# edri_test(name source... [LINK targets...]): a Criterion test program that
# sees every internal header; registered with ctest under its name.
function(edri_test name)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  add_executable(test_${name} ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(test_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE
    edri_flags edri_static PkgConfig::CRITERION ${ARG_LINK})
  edri_run_test(${name})
endfunction()

# edri_fuzz(name source...): a libFuzzer target, built with -DEDRI_FUZZ=ON.
# Without it the same source is linked with a main() that replays the corpus
# tests/fuzz/corpus/NAME, and ctest runs that.
function(edri_fuzz name)
  add_executable(fuzz_${name} ${ARGN})
  set_target_properties(fuzz_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(fuzz_${name} PRIVATE edri_flags edri_static)
  if(EDRI_FUZZ)
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name}
      ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 60)
  endif()
endfunction()
