#pragma once

#include <memory>
#include <string>

#include "dataset/table.hpp"
#include "dataset/text_source.hpp"

namespace sluice::dataset {

/// A table in CSV or TSV, whose first row names the columns.
std::unique_ptr<table_reader> open_csv(const std::string& name, text_source text,
                                       table_format format, const table_options& options);

/// Adds a cell as CSV, in quotes where it needs them: a comma, a quote, a line end, a space at its
/// begin or end.
void append_csv_cell(std::string& out, std::string_view cell);

}  // namespace sluice::dataset
