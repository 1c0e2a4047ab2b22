#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "files/file_system.hpp"
#include "store/batch_store.hpp"
#include "store/shared_files.hpp"

namespace sluice::server {

/// The folder with all data of a server. Thread safe. Calls block, and throw store_error.
///
///   store.db            records of files and batches
///   files/ID            the bytes of each file
///   batches/ID/         a batch that has not ended: its input and its results so far
///   uploads/            files that are being written; removed at the next start
///
/// A file gets its name under files/ only when it is complete and synced to disk, and before its
/// record is stored. So a crash can leave only bytes without a record, which sweep() removes. If
/// the record cannot be stored, the file is emptied at once, which frees its space. An empty file
/// whose record says otherwise does not exist for clients: see sweep().
///
/// If several servers share a store, the store has the authoritative data. The folder then has
/// copies: the files that this server uses, and the files that its own batches write.
class data_folder {
 public:
  /// Creates the folder and its missing parts. `shared` stores the bytes of several servers and
  /// must outlive the object; null: no other server shares the files.
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
  static constexpr std::string_view errors_name = "output.errors.jsonl";
  std::string batch_errors(std::string_view id) const {
    return batch(id) + "/" + std::string(errors_name);
  }
  std::string batch_state(std::string_view id) const { return batch(id) + "/output.state"; }

  /// A file that is being written. The destructor removes it unless publish() was called.
  class draft {
   public:
    draft(data_folder& folder, std::string path, std::unique_ptr<sluice::file> opened)
        : folder_(folder), path_(std::move(path)), file_(std::move(opened)) {}
    ~draft();
    draft(const draft&) = delete;
    draft& operator=(const draft&) = delete;

    void append(std::string_view bytes);
    std::uint64_t size() const noexcept { return size_; }
    /// Syncs the bytes, and renames the draft to the file with this id. If that fails, nothing of
    /// the file stays on this machine.
    void publish(std::string_view id);

   private:
    data_folder& folder_;
    std::string path_;
    std::unique_ptr<sluice::file> file_;
    std::uint64_t size_ = 0;
    bool published_ = false;
  };
  std::unique_ptr<draft> new_draft();

  /// Publishes the bytes of a file and stores its record. If the record cannot be stored, it frees
  /// the bytes and throws the store's error. The bytes stay if the record exists all the same, or
  /// if that is unknown.
  void add_file(store::batch_store& records, draft& bytes, const store::file_record& file);
  /// Removes a file that was just added, with its record, because nothing uses it. What cannot be
  /// removed now is removed later: see changed().
  void take_back(store::batch_store& records, const store::file_record& file) noexcept;
  /// Call it when the store has taken a change. Removes what add_file(), take_back() and
  /// remove_file() had to leave.
  void changed(store::batch_store& records) noexcept;
  /// Makes the bytes of the file available under file(id). Returns false if there are none.
  bool fetch(std::string_view id);
  /// Links a file's bytes into the folder of a batch, so that the batch keeps them even if the file
  /// is removed. Returns false if there is no such file.
  bool take_input(std::string_view file_id, std::string_view batch_id);
  /// Returns whether this or another server has published a result file. If so, its bytes are under
  /// file(id).
  bool has_result(std::string_view id);
  /// Publishes the bytes of `from`, which must be complete, also as the file with this id. Does
  /// nothing if that file has its bytes already, or if `from` does not exist.
  void publish_copy(const std::string& from, std::string_view id);
  void remove_file(std::string_view id);
  /// `input`: the id of the batch's input file, whose bytes are released, too. The batch must have
  /// ended then. Empty: the input stays.
  void remove_batch(std::string_view id, std::string_view input = {});
  /// Removes local copies of files and batches that other servers have removed or ended, and
  /// remains of crashes in the shared store, until `may_go_on` returns false. Call it from time to
  /// time. Without a shared store it does nothing.
  void remove_stale_copies(store::batch_store& records, const std::function<bool()>& may_go_on);
  /// Removes the remains of crashes: drafts, files without a record, folders of ended batches. Call
  /// it before anything else uses the folder. What is left in a shared store is removed later, by
  /// remove_stale_copies().
  ///
  /// If the last sync of a change fails, the store refuses the change, but after a crash it may
  /// find the change complete. A file that was emptied for that reason loses its record again, if
  /// one of `owners` has it. A batch gets its input again.
  void sweep(store::batch_store& records, const std::vector<std::string>& owners);

 private:
  // A file that could not be removed completely.
  struct remainder {
    std::string id;
    std::string owner;
    bool unwanted = false;  // its record must be removed, too
  };

  void link(const std::string& from, const std::string& to);
  void share(std::string_view id);
  void erase(std::string_view id);
  void restore_input(const store::batch_record& batch);
  static void remove_false_record(store::batch_store& records, const std::string& id,
                                  const std::vector<std::string>& owners);
  void free_bytes(std::string_view id) const noexcept;
  void withdraw(store::batch_store& records, const store::file_record& file, bool refused) noexcept;
  void remember(std::string_view id, std::string_view owner, bool unwanted) noexcept;

  std::string path_;
  file_system& disk_;
  store::shared_files* shared_;
  std::mutex guard_;  // guards the following member
  std::vector<remainder> remains_;
};

}  // namespace sluice::server
