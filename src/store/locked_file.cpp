#include "store/locked_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "files/file_system.hpp"
#include "files/locks.hpp"
#include "store/batch_store.hpp"

namespace sluice::store {
namespace {

std::string words_of(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void cannot_open(const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    throw store_error(fmt::format("{}: the disk is full; make room on it", path), true);
  }
  throw store_error(
      fmt::format("{}: cannot be created or opened ({}); correct its rights and those of its "
                  "folder, or choose another folder",
                  path, words_of(error)));
}

int open_private(const std::string& path) {
  const int opened = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (opened < 0) cannot_open(path, errno);
  return opened;
}

std::string name_of(const std::optional<lock_holder>& holder) {
  if (!holder) return "another process";
  return fmt::format("process {} ({}{})", holder->process, holder->name,
                     holder->stopped ? ", stopped" : "");
}

}  // namespace

locked_file::locked_file(const std::string& path) {
  const auto files = system_files();
  path_ = std::filesystem::absolute(files->resolved(path)).string();
  lock_ = open_private(path_ + ".lock");
  try {
    std::optional<lock_holder> holder;
    if (!lock_whole(lock_, holder)) {
      const int error = errno;
      if (error == EAGAIN || error == EACCES) {
        throw store_error(fmt::format("{}: {} uses it; end that process, or choose another folder",
                                      path_, name_of(holder)));
      }
      throw store_error(
          fmt::format("{}.lock: cannot be locked ({}); choose a folder on a local disk", path_,
                      words_of(error)));
    }
    ::close(open_private(path_));
    if (const auto error = files->sync_folder_of(path_)) cannot_open(path_, error.value());
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

locked_file::~locked_file() {
  ::close(lock_);
}

}  // namespace sluice::store
