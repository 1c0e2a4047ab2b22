#pragma once

#include <libpq-fe.h>

namespace sluice::store {

// The functions of libpq that this program calls. The library is loaded when it is first needed:
// the program starts without it, and a program that is linked statically can use it.
#define SLUICE_LIBPQ_FUNCTIONS(USE) \
  USE(PQclear)                      \
  USE(PQcmdStatus)                  \
  USE(PQcmdTuples)                  \
  USE(PQconnectdbParams)            \
  USE(PQconsumeInput)               \
  USE(PQdb)                         \
  USE(PQerrorMessage)               \
  USE(PQfformat)                    \
  USE(PQfinish)                     \
  USE(PQflush)                      \
  USE(PQgetResult)                  \
  USE(PQgetisnull)                  \
  USE(PQgetlength)                  \
  USE(PQgetvalue)                   \
  USE(PQhost)                       \
  USE(PQisBusy)                     \
  USE(PQnfields)                    \
  USE(PQntuples)                    \
  USE(PQpass)                       \
  USE(PQport)                       \
  USE(PQresultErrorField)           \
  USE(PQresultErrorMessage)         \
  USE(PQresultStatus)               \
  USE(PQsendQuery)                  \
  USE(PQsendQueryParams)            \
  USE(PQsetNoticeReceiver)          \
  USE(PQsetnonblocking)             \
  USE(PQsocket)                     \
  USE(PQstatus)                     \
  USE(PQtransactionStatus)

struct libpq_functions {
#define SLUICE_LIBPQ_MEMBER(NAME) decltype(&::NAME) NAME = nullptr;
  SLUICE_LIBPQ_FUNCTIONS(SLUICE_LIBPQ_MEMBER)
#undef SLUICE_LIBPQ_MEMBER
};

/// Loads the library at the first call. Throws store_error, with what to install, if it is not
/// there. Thread safe.
const libpq_functions& libpq();

}  // namespace sluice::store
