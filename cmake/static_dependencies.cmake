# For SLUICE_STATIC: a program that needs no shared libraries except those of libc. Debian has no static libraries of
# fmt, spdlog, toml++ and simdjson. So the first three are used as header-only libraries, and simdjson is compiled from
# Debian's source package. SLUICE_SIMDJSON_SOURCE is the folder of its simdjson.cpp.
set(OPENSSL_USE_STATIC_LIBS ON)
set(Boost_USE_STATIC_LIBS ON)
set(ZLIB_USE_STATIC_LIBS ON)
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)

add_library(fmt_headers INTERFACE)
target_compile_definitions(fmt_headers INTERFACE FMT_HEADER_ONLY=1)
add_library(fmt::fmt ALIAS fmt_headers)
add_library(spdlog_headers INTERFACE)
target_compile_definitions(spdlog_headers INTERFACE SPDLOG_FMT_EXTERNAL=1)
target_link_libraries(spdlog_headers INTERFACE fmt_headers Threads::Threads)
add_library(spdlog::spdlog ALIAS spdlog_headers)
add_library(toml_headers INTERFACE)
target_compile_definitions(toml_headers INTERFACE TOML_HEADER_ONLY=1)
add_library(tomlplusplus::tomlplusplus ALIAS toml_headers)

set(SLUICE_SIMDJSON_SOURCE "" CACHE PATH "Folder of simdjson.cpp")
find_file(SIMDJSON_CPP simdjson.cpp PATHS ${SLUICE_SIMDJSON_SOURCE} NO_DEFAULT_PATH REQUIRED)
add_library(simdjson_static STATIC ${SIMDJSON_CPP})
target_compile_features(simdjson_static PUBLIC cxx_std_17)
target_include_directories(simdjson_static SYSTEM BEFORE PRIVATE ${SLUICE_SIMDJSON_SOURCE})
add_library(simdjson::simdjson ALIAS simdjson_static)

add_link_options(-static-libstdc++ -static-libgcc)
