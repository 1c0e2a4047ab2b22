#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "files/file_system.hpp"

namespace sluice::test {

/// The system's files, with faults. Before each append, truncate, sync, rename, remove, reserve and
/// sync of a folder ("sync folder"), `fault` is called and returns the error of the operation, if
/// any. An append with an error writes half of its bytes.
class faulty_files final : public file_system {
 public:
  std::function<std::error_code(std::string_view what, const std::string& path)> fault =
      [](std::string_view, const std::string&) { return std::error_code(); };

  /// Returns the error of a read, if any.
  std::function<std::error_code(const std::string& path, std::uint64_t offset)> read_fault =
      [](const std::string&, std::uint64_t) { return std::error_code(); };

  /// What file::keeps_unsynced() answers.
  bool keeps_unsynced = false;
  /// If true, background work runs at once, so that tests in virtual time are repeatable.
  bool at_once = false;
  /// If true, background work waits in `queued` for run_next() or finish_background().
  bool by_hand = false;
  std::deque<std::function<void()>> queued = {};

  void run_next() {
    const auto slow = std::move(queued.front());
    queued.pop_front();
    slow();
  }

  static std::error_code broken() { return std::make_error_code(std::errc::io_error); }

  std::unique_ptr<file> open(const std::string& path, open_as how,
                             std::error_code& error) override {
    auto opened = behind_->open(path, how, error);
    if (!opened) return nullptr;
    return std::make_unique<faulty_file>(*this, path, std::move(opened));
  }
  std::error_code rename(const std::string& from, const std::string& to) override {
    const std::error_code met = fault("rename", from);
    return met ? met : behind_->rename(from, to);
  }
  std::error_code remove(const std::string& path) override {
    const std::error_code met = fault("remove", path);
    return met ? met : behind_->remove(path);
  }
  std::error_code sync_folder_of(const std::string& path) override {
    const std::error_code met = fault("sync folder", path);
    return met ? met : behind_->sync_folder_of(path);
  }
  std::error_code make_folders(const std::string& path) override {
    return behind_->make_folders(path);
  }
  bool exists(const std::string& path) override { return behind_->exists(path); }
  bool is_folder(const std::string& path) override { return behind_->is_folder(path); }
  bool is_writable_folder(const std::string& path) override {
    return behind_->is_writable_folder(path);
  }
  std::string resolved(const std::string& path) override { return behind_->resolved(path); }
  bool is_at(const file& opened, const std::string& path) override {
    return behind_->is_at(static_cast<const faulty_file&>(opened).behind(), path);
  }
  void run_in_background(std::function<void()> slow) override {
    if (at_once) return slow();
    if (by_hand) return queued.push_back(std::move(slow));
    behind_->run_in_background(std::move(slow));
  }
  void finish_background() override {
    while (!queued.empty()) run_next();
    behind_->finish_background();
  }

 private:
  class faulty_file final : public file {
   public:
    faulty_file(faulty_files& owner, std::string path, std::unique_ptr<file> behind)
        : owner_(owner), path_(std::move(path)), behind_(std::move(behind)) {}

    std::size_t read_at(std::uint64_t offset, char* into, std::size_t size,
                        std::error_code& error) override {
      error = owner_.read_fault(path_, offset);
      if (error) return 0;
      return behind_->read_at(offset, into, size, error);
    }
    std::size_t append(std::string_view bytes, std::error_code& error) override {
      const std::error_code met = owner_.fault("append", path_);
      if (!met) return behind_->append(bytes, error);
      const std::size_t written = behind_->append(bytes.substr(0, bytes.size() / 2), error);
      error = met;
      return written;
    }
    std::error_code truncate(std::uint64_t size) override {
      const std::error_code met = owner_.fault("truncate", path_);
      return met ? met : behind_->truncate(size);
    }
    std::error_code sync() override {
      const std::error_code met = owner_.fault("sync", path_);
      return met ? met : behind_->sync();
    }
    bool keeps_unsynced() const override { return owner_.keeps_unsynced; }
    std::uint64_t size() const override { return behind_->size(); }
    bool is_regular() const override { return behind_->is_regular(); }
    lock_result lock() override { return behind_->lock(); }
    std::error_code reserve(std::uint64_t bytes) override {
      const std::error_code met = owner_.fault("reserve", path_);
      return met ? met : behind_->reserve(bytes);
    }
    std::optional<std::string> current_path() const override { return behind_->current_path(); }
    const file& behind() const noexcept { return *behind_; }

   private:
    faulty_files& owner_;
    std::string path_;
    std::unique_ptr<file> behind_;
  };

  std::unique_ptr<file_system> behind_ = system_files();
};

}  // namespace sluice::test
