#pragma once

#include <cstddef>
#include <string_view>

namespace sluice::server {

/// The longest name of a model that clients may use, in bytes. Names are stored in records and are
/// counted one by one. Real names are shorter, also paths and names with an account in them.
inline constexpr std::size_t longest_model_name = 512;

/// Returns why the server does not take the name of a model; empty if it does. The sentence does
/// not quote the name.
inline std::string_view fault_of_model(std::string_view name) {
  if (name.size() > longest_model_name) {
    return "The name of the model is longer than 512 bytes. Give a name that the relay has.";
  }
  if (name.find('\0') != std::string_view::npos) {
    return "The name of the model has a NUL character. Give a name that the relay has.";
  }
  return {};
}

}  // namespace sluice::server
