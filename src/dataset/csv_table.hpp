#pragma once

#include <memory>
#include <string>

#include "dataset/table.hpp"
#include "dataset/text_source.hpp"

namespace sluice::dataset {

/// A table in CSV or TSV. Its first row contains the names of the columns.
std::unique_ptr<table_reader> open_csv(const std::string& name, text_source text,
                                       table_format format, const table_options& options);

/// Adds a cell as CSV. It is put in quotes if it contains a comma, a quote or a line end, or has a
/// space or a tab at its beginning or end.
void append_csv_cell(std::string& out, std::string_view cell);

}  // namespace sluice::dataset
