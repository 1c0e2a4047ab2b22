#pragma once

#include <sys/stat.h>

#include <string>

namespace sluice::cli {

// Checks who may have written a file before it is trusted. A file of root is as good as the user's
// own, since root may write everything anyway.

/// Whether the file belongs to the user or to root.
bool is_own(const struct stat& file);

/// Whether users other than its owner and root may write the file. A group with no other member
/// does not count: many systems give each user such a group, and a umask of 002. An access control
/// list of `path` may allow other users although the mode bits do not show it, so it is checked
/// too.
bool others_may_write(const struct stat& file, const std::string& path);

/// Whether others may replace a file in that folder: they may write to the folder, and it has no
/// sticky bit. Also true for a folder that cannot be read.
bool others_may_replace_in(const std::string& folder);

}  // namespace sluice::cli
