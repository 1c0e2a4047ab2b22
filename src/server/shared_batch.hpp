#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "files/file_system.hpp"
#include "store/shared_files.hpp"

namespace sluice::server {

/// The folder of a running batch on this machine, whose files the servers of a store share. It
/// holds a copy; the truth is in the store. What is written goes to the copy at once and to the
/// store shortly after, together with all else that was written meanwhile. A file's sync() waits
/// until the store has it, so a record or result that this server counts on is there for another
/// one. Once the claim is lost, every write fails.
///
/// All files are directly in the folder. Thread safe as file_system is.
class shared_batch final : public file_system {
 public:
  struct options {
    /// Changes are collected for this long, unless somebody waits for them.
    std::chrono::milliseconds collect{20};
    /// How long a sync() waits for a store that is away.
    std::chrono::milliseconds patience{15'000};
    /// Until a store that failed is tried again.
    std::chrono::milliseconds pause{500};
  };

  /// Makes the copy from what the store has; other files in the folder than `input` are removed.
  /// Blocks. Throws store_error. `shared` must outlive the object.
  shared_batch(store::shared_files& shared, store::claim held, std::string folder,
               std::string_view input, options how);
  /// Stores what is left, if the store takes it.
  ~shared_batch() override;
  /// Another server has the batch.
  bool is_lost();
  shared_batch(const shared_batch&) = delete;
  shared_batch& operator=(const shared_batch&) = delete;

  std::unique_ptr<file> open(const std::string& path, open_as how, std::error_code& error) override;
  std::error_code rename(const std::string& from, const std::string& to) override;
  std::error_code remove(const std::string& path) override;
  std::error_code sync_folder_of(const std::string& path) override;
  std::error_code make_folders(const std::string& path) override;
  bool exists(const std::string& path) override { return copy_->exists(path); }
  bool is_folder(const std::string& path) override { return copy_->is_folder(path); }
  bool is_writable_folder(const std::string& path) override {
    return copy_->is_writable_folder(path);
  }
  std::string resolved(const std::string& path) override { return copy_->resolved(path); }
  bool is_at(const file& opened, const std::string& path) override;
  void run_in_background(std::function<void()> slow) override {
    copy_->run_in_background(std::move(slow));
  }
  void finish_background() override { copy_->finish_background(); }

 private:
  class shared_file;

  void restore(std::string_view input);
  void change(store::file_change what);
  /// Waits until the store has all that was written before the call.
  std::error_code wait_for_store();
  void work();
  bool store_some();

  store::shared_files& shared_;
  const store::claim held_;
  const std::string folder_;
  const options options_;
  std::unique_ptr<file_system> copy_;

  std::mutex guard_;  // guards what follows
  std::condition_variable woken_;
  std::map<std::string, std::int64_t, std::less<>> numbers_;  // of the files, by name
  std::int64_t last_number_ = 0;
  std::vector<store::file_change> pending_;
  std::uint64_t written_ = 0;  // changes so far
  std::uint64_t stored_ = 0;   // of these
  std::size_t waiting_ = 0;    // callers of wait_for_store()
  std::error_code fault_;      // of the last try
  bool lost_ = false;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace sluice::server
