#include "cli/settings/dataset_settings.hpp"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

namespace sluice::cli {
namespace {

constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();

dataset::answer_column parse_column(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw bad_setting("write it as NAME=PATH, like answer=.content or score=.json.score");
  }
  const std::string path = text.substr(equals + 1);
  auto parsed = dataset::answer_path::parse(path);
  if (!parsed) {
    throw bad_setting("'" + path +
                      "' is no path; a path begins with a dot, like .content, .json.score or "
                      ".choices[0].finish_reason");
  }
  return {text.substr(0, equals), *std::move(parsed)};
}

dataset::table_format parse_format(const std::string& text) {
  if (text == "csv") return dataset::table_format::csv;
  if (text == "tsv") return dataset::table_format::tsv;
  if (text == "jsonl") return dataset::table_format::jsonl;
  throw bad_setting("must be one of csv, tsv, jsonl");
}

char parse_delimiter(const std::string& text) {
  if (text == "tab" || text == "\\t") return '\t';
  constexpr std::string_view unfit = "\"\r\n";
  if (text.size() == 1 && static_cast<unsigned char>(text[0]) < 0x80 &&
      unfit.find(text[0]) == std::string_view::npos) {
    return text[0];
  }
  throw bad_setting("must be one ASCII character such as ';', or the word tab");
}

}  // namespace

std::vector<setting> dataset_flags(dataset_settings& target, const std::set<std::string>& names) {
  const std::string at_data = "Data";
  const auto text = [](std::string& place) {
    return [&place](const std::string& given) { place = given; };
  };
  std::vector<setting> table = {
      {.name = "template",
       .value = "FILE",
       .group = at_data,
       .short_help = "Body of the requests, with {{column}} in its strings",
       .long_help = "A JSON file in the form of a job line: a body, or a prompt. In its strings, "
                    "{{column}} stands for the cell of that column, and {{file:column}} for the "
                    "image or PDF that the cell names, as a data URL. Other braces stay.",
       .apply = text(target.template_file)},
      {.name = "data",
       .value = "DATA",
       .group = at_data,
       .short_help = "The table that the job was made of",
       .long_help = "The rows to join the answers to: CSV, TSV or JSONL, also as .gz or .zst. It "
                    "must be the table from which the job was made.",
       .apply = text(target.data)},
      {.name = "id",
       .value = "COLUMN",
       .group = at_data,
       .short_help = "Column whose cells are the ids of the requests",
       .long_help = "The cells of this column must all be different. Without it the ids are row-1, "
                    "row-2 and so on; use it when rows may be added or sorted later.",
       .apply = text(target.id_column)},
      {.name = "column",
       .value = "NAME=PATH",
       .group = at_data,
       .short_help = "Adds a column from the answers; may be repeated",
       .long_help = "A PATH runs in the body of the reply, like .choices[0].finish_reason. "
                    ".content is the text of the answer, .json.FIELD a field of an answer in JSON, "
                    "and .error the reason of a failure. Without the flag, a column 'answer' gets "
                    "the text.",
       .apply =
           [&target](const std::string& given) { target.columns.push_back(parse_column(given)); },
       .repeatable = true},
      {.name = "usage",
       .group = at_data,
       .short_help = "Also adds columns with tokens and cost",
       .long_help = "Adds prompt_tokens, cached_tokens, completion_tokens, reasoning_tokens and "
                    "cost_usd to each row.",
       .apply = [&target](const std::string& on) { target.usage = parse_switch(on); }},
      {.name = "files",
       .value = "DIR",
       .group = at_data,
       .short_help = "Folder of the files that {{file:column}} puts in",
       .long_help =
           "Cells name files relative to this folder. Nothing outside of it is read: names "
           "with .. and links are refused, so that a table of somebody else cannot send a "
           "private file.",
       .apply = text(target.files)},
      {.name = "sample",
       .value = "N",
       .group = at_data,
       .short_help = "Only N rows, drawn at random by --seed",
       .long_help =
           "Draws N rows and keeps their order. The same --seed draws the same rows, and a "
           "smaller N draws some of them. 0 means all.",
       .default_value = "0",
       .apply =
           [&target](const std::string& given) { target.sample = parse_count(given, largest); }},
      {.name = "seed",
       .value = "S",
       .group = at_data,
       .short_help = "Seed of --sample",
       .long_help = "Another number draws another sample.",
       .default_value = "1",
       .apply = [&target](const std::string& given) { target.seed = parse_count(given, largest); }},
      {.name = "format",
       .value = "FORMAT",
       .group = at_data,
       .short_help = "Format of the data, whatever its name",
       .long_help = "Without it, the ending of the name decides, else the first character: a brace "
                    "begins JSONL, anything else CSV.",
       .choices = {"csv", "tsv", "jsonl"},
       .apply = [&target](const std::string& given) { target.table.format = parse_format(given); }},
      {.name = "encoding",
       .value = "NAME",
       .group = at_data,
       .short_help = "Encoding of the data, if it is not UTF-8",
       .long_help = "Converts the data to UTF-8 while it is read. Names are those of iconv, like "
                    "gb18030, big5, windows-1252 or utf-16.",
       .apply = text(target.table.encoding)},
      {.name = "delimiter",
       .value = "CHAR",
       .group = at_data,
       .short_help = "Character between the cells of a CSV",
       .long_help = "Without it, a comma, or a tab in TSV. Write ';' for the CSV of a spreadsheet "
                    "whose decimal sign is a comma, and tab for a tab.",
       .apply = [&target](
                    const std::string& given) { target.table.delimiter = parse_delimiter(given); }},
      {.name = "no-quotes",
       .group = at_data,
       .short_help = "Quotes in CSV and TSV are plain text",
       .long_help =
           "Cells are not enclosed in quotes, and end at the next comma or tab. Use it for "
           "TSV files that databases write.",
       .apply = [&target](const std::string& on) { target.table.quotes = !parse_switch(on); }}};
  std::erase_if(table, [&](const setting& entry) { return names.count(entry.name) == 0; });
  for (setting& entry : table) entry.in_config = false;
  return table;
}

dataset::extract_options extract_options_of(const dataset_settings& chosen) {
  dataset::extract_options options{chosen.columns, chosen.id_column, chosen.usage};
  const bool has_answer = std::any_of(options.columns.begin(), options.columns.end(),
                                      [](const auto& column) { return !column.path.is_error(); });
  if (!has_answer) {
    options.columns.insert(options.columns.begin(),
                           {"answer", *dataset::answer_path::parse(".content")});
  }
  return options;
}

}  // namespace sluice::cli
