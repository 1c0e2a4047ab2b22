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
  std::string data;  ///< of extract
  dataset::table_options table;
  std::string id_column;
  std::string files;
  std::uint64_t sample = 0;
  std::uint64_t seed = 1;
  /// Empty: the text of the answer in a column `answer`.
  std::vector<dataset::answer_column> columns;
  bool usage = false;
};

/// The flags with these names. Each writes into `target`, which must outlive it.
std::vector<setting> dataset_flags(dataset_settings& target, const std::set<std::string>& names);

/// What is joined to the rows.
dataset::extract_options extract_options_of(const dataset_settings& chosen);

}  // namespace sluice::cli
