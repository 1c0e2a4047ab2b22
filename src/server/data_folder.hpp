#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "files/file_system.hpp"
#include "store/batch_store.hpp"
#include "store/shared_files.hpp"

namespace sluice::server {

/// The folder with everything that a server keeps:
///
///   store.db            what is known of files and batches
///   files/ID            the bytes of each file
///   batches/ID/         a batch that has not ended: its input and its results so far
///   uploads/            files that are being written, dropped at the next start
///
/// A file gets its name under files/ only once it is whole and on disk, and before its record is
/// stored; so a crash leaves at most bytes without a record, which sweep() removes. Calls block.
/// Thread safe. Every call throws store_error.
///
/// Where several servers share a store, the truth is there, and the folder has copies: each file
/// that this server uses, and what its own batches write.
class data_folder {
 public:
  /// Creates the folder and what is missing in it. `shared` has the bytes of several servers and
  /// must outlive the object; null: the folder is all there is.
  data_folder(std::string path, file_system& disk, store::shared_files* shared = nullptr);

  file_system& disk() const noexcept { return disk_; }
  store::shared_files* shared() const noexcept { return shared_; }
  std::string store_file() const { return path_ + "/store.db"; }
  std::string file(std::string_view id) const { return path_ + "/files/" + std::string(id); }
  std::string batch(std::string_view id) const { return path_ + "/batches/" + std::string(id); }
  static constexpr std::string_view input_name = "input.jsonl";
  std::string batch_input(std::string_view id) const {
    return batch(id) + "/" + std::string(input_name);
  }
  std::string batch_output(std::string_view id) const { return batch(id) + "/output.jsonl"; }
  std::string batch_errors(std::string_view id) const { return batch(id) + "/output.errors.jsonl"; }

  /// A file that is being written. Its destructor removes it unless publish() was called.
  class draft {
   public:
    draft(data_folder& folder, std::string path, std::unique_ptr<sluice::file> opened)
        : folder_(folder), path_(std::move(path)), file_(std::move(opened)) {}
    ~draft();
    draft(const draft&) = delete;
    draft& operator=(const draft&) = delete;

    void append(std::string_view bytes);
    std::uint64_t size() const noexcept { return size_; }
    /// Syncs the bytes, and gives them the name of the file with this id.
    void publish(std::string_view id);

   private:
    data_folder& folder_;
    std::string path_;
    std::unique_ptr<sluice::file> file_;
    std::uint64_t size_ = 0;
    bool published_ = false;
  };
  std::unique_ptr<draft> new_draft();

  /// Sees that the bytes of the file are under file(id). False: there are none.
  bool fetch(std::string_view id);
  /// Gives a file's bytes to a batch, which keeps them even if the file is removed. False: there is
  /// no such file.
  bool take_input(std::string_view file_id, std::string_view batch_id);
  /// Whether a result file was published, by whichever server: then its bytes are under file(id).
  bool has_result(std::string_view id);
  /// Gives the bytes of `from`, which must be complete, to the file with this id as well. Nothing
  /// happens if it has them already, or if `from` does not exist.
  void publish_copy(const std::string& from, std::string_view id);
  void remove_file(std::string_view id);
  void remove_batch(std::string_view id);
  /// Removes copies of what another server has removed or ended, and what crashes have left in a
  /// shared store. To be called from time to time; without one it does nothing.
  void remove_stale_copies(store::batch_store& records);
  /// Removes what crashes have left: drafts, files without a record, folders of ended batches. To
  /// be called before anything else uses the folder.
  void sweep(store::batch_store& records);

 private:
  void link(const std::string& from, const std::string& to);
  void share(std::string_view id);

  std::string path_;
  file_system& disk_;
  store::shared_files* shared_;
};

}  // namespace sluice::server
