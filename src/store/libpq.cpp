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
  // The library is never unloaded, because connections may exist until the process ends.
  void* const loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* const why = dlerror();
    throw store_error(fmt::format("PostgreSQL needs libpq: apt install libpq5 ({})",
                                  why == nullptr ? library : why));
  }
  libpq_functions all;
  find(loaded, "PQclear", all.PQclear);
  find(loaded, "PQcmdStatus", all.PQcmdStatus);
  find(loaded, "PQcmdTuples", all.PQcmdTuples);
  find(loaded, "PQconnectdbParams", all.PQconnectdbParams);
  find(loaded, "PQconsumeInput", all.PQconsumeInput);
  find(loaded, "PQdb", all.PQdb);
  find(loaded, "PQerrorMessage", all.PQerrorMessage);
  find(loaded, "PQfformat", all.PQfformat);
  find(loaded, "PQfinish", all.PQfinish);
  find(loaded, "PQflush", all.PQflush);
  find(loaded, "PQgetResult", all.PQgetResult);
  find(loaded, "PQgetisnull", all.PQgetisnull);
  find(loaded, "PQgetlength", all.PQgetlength);
  find(loaded, "PQgetvalue", all.PQgetvalue);
  find(loaded, "PQhost", all.PQhost);
  find(loaded, "PQisBusy", all.PQisBusy);
  find(loaded, "PQnfields", all.PQnfields);
  find(loaded, "PQntuples", all.PQntuples);
  find(loaded, "PQpass", all.PQpass);
  find(loaded, "PQport", all.PQport);
  find(loaded, "PQresultErrorField", all.PQresultErrorField);
  find(loaded, "PQresultErrorMessage", all.PQresultErrorMessage);
  find(loaded, "PQresultStatus", all.PQresultStatus);
  find(loaded, "PQsendQuery", all.PQsendQuery);
  find(loaded, "PQsendQueryParams", all.PQsendQueryParams);
  find(loaded, "PQsetNoticeReceiver", all.PQsetNoticeReceiver);
  find(loaded, "PQsetnonblocking", all.PQsetnonblocking);
  find(loaded, "PQsocket", all.PQsocket);
  find(loaded, "PQstatus", all.PQstatus);
  find(loaded, "PQtransactionStatus", all.PQtransactionStatus);
  return all;
}

}  // namespace

const libpq_functions& libpq() {
  static const libpq_functions loaded = load();
  return loaded;
}

}  // namespace sluice::store
