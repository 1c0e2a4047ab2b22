#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "dataset/extract.hpp"
#include "dataset/table.hpp"
#include "settings/setting.hpp"

namespace sluice::cli {

/// The settings of the commands that read tables.
struct dataset_settings {
  /// File of the template; empty: none.
  std::string template_file;
  std::string data;  ///< for extract: the table
  dataset::table_options table;
  std::string id_column;
  std::string files;
  std::uint64_t sample = 0;
  std::uint64_t seed = 1;
  /// Empty: only the column `answer`, with the text of the answer.
  std::vector<dataset::answer_column> columns;
  bool usage = false;
};

/// The flags with these names. Each writes into `target`, which must outlive it.
std::vector<setting> dataset_flags(dataset_settings& target, const std::set<std::string>& names);

/// The options for joining answers to the rows.
dataset::extract_options extract_options_of(const dataset_settings& chosen);

}  // namespace sluice::cli
