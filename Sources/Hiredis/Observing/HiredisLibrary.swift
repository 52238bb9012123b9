internal import CHiredisShims

/// The C library underneath.
package enum HiredisLibrary {
    /// The version of the headers that this was compiled with.
    package static var headers: String {
        "\(fch_hiredis_major()).\(fch_hiredis_minor()).\(fch_hiredis_patch())"
    }

    /// The name of the file that is loaded, such as `libhiredis.so.0.14`: hiredis has no function that tells its
    /// version, and its releases are told apart by that name. The program's own when hiredis is linked into it; nil
    /// when it cannot be told.
    package static var loadedFile: String? {
        let path = unsafe String(unsafeUninitializedCapacity: 4096) { bytes in
            let ok = unsafe bytes.withMemoryRebound(to: CChar.self) {
                unsafe fch_hiredis_library_path($0.baseAddress, $0.count) == 0
            }
            return ok ? unsafe bytes.firstIndex(of: 0) ?? 0 : 0
        }
        return path.split(separator: "/").last.map(String.init)
    }
}
