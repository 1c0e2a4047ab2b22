#include "store/libpq.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "store/batch_store.hpp"

namespace sluice::store {
namespace {

constexpr const char* library = "libpq.so.5";

template <typename Function>
void find(void* loaded, const char* name, Function& into) {
  into = reinterpret_cast<Function>(dlsym(loaded, name));
  if (into == nullptr) {
    throw store_error(
        fmt::format("PostgreSQL needs a newer libpq: {} has no {}; upgrade it (Debian: apt install "
                    "libpq5)",
                    library, name));
  }
}

libpq_functions load() {
  // It stays loaded: connections may live until the process ends.
  void* const loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* const why = dlerror();
    throw store_error(fmt::format("PostgreSQL needs libpq: apt install libpq5 ({})",
                                  why == nullptr ? library : why));
  }
  libpq_functions all;
#define SLUICE_LIBPQ_FIND(NAME) find(loaded, #NAME, all.NAME);
  SLUICE_LIBPQ_FUNCTIONS(SLUICE_LIBPQ_FIND)
#undef SLUICE_LIBPQ_FIND
  return all;
}

}  // namespace

const libpq_functions& libpq() {
  static const libpq_functions loaded = load();
  return loaded;
}

}  // namespace sluice::store
