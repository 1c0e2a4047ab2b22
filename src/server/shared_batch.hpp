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

/// The folder of a running batch in a store that several servers share. The local folder is a copy;
/// the store has the authoritative data. Each write goes to the copy at once. A background thread
/// stores it shortly after, together with other writes. A file's sync() waits until the store has
/// the data, so that another server can continue from there. Once the claim is lost, every write
/// fails.
///
/// All files are directly in the folder. It has the thread safety of file_system.
class shared_batch final : public file_system {
 public:
  struct options {
    /// How long changes are collected, unless a caller waits for them.
    std::chrono::milliseconds collect{20};
    /// How long a sync() waits for a store that cannot be reached.
    std::chrono::milliseconds patience{15'000};
    /// The pause before another try after a failure of the store.
    std::chrono::milliseconds pause{500};
  };

  /// Makes the copy from the store. Other files in the folder, except `input`, are removed. Blocks.
  /// Throws store_error. `shared` must outlive the object.
  shared_batch(store::shared_files& shared, store::claim held, std::string folder,
               std::string_view input, options how);
  /// Tries once more to store the pending changes.
  ~shared_batch() override;
  /// Returns whether the claim is lost: another server has the batch.
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
  /// Waits until the store has everything that was written before this call.
  std::error_code wait_for_store();
  void work();
  bool store_some();

  store::shared_files& shared_;
  const store::claim held_;
  const std::string folder_;
  const options options_;
  std::unique_ptr<file_system> copy_;

  std::mutex guard_;  // guards the following members
  std::condition_variable woken_;
  std::map<std::string, std::int64_t, std::less<>> numbers_;  // numbers of the files, by name
  std::int64_t last_number_ = 0;
  std::vector<store::file_change> pending_;
  std::uint64_t written_ = 0;  // number of changes so far
  std::uint64_t stored_ = 0;   // number of changes that are stored
  std::size_t waiting_ = 0;    // number of callers in wait_for_store()
  std::error_code fault_;      // error of the last try
  bool lost_ = false;
  bool ending_ = false;
  std::thread thread_;  // last member: it uses all of the above
};

}  // namespace sluice::server
