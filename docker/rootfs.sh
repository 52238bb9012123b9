#!/bin/sh
# rootfs.sh FOLDER PACKAGE...: a root file system with the shared libraries of these Debian packages and all that those need, and
# nothing else: no shell, no package manager. What a scanner looks for (which packages, in which versions) and their licences are
# in it, in the places where Debian's distroless images have them.
set -eu
root=$1
shift
mkdir -p "$root/etc/ssl/certs" "$root/usr/lib/ssl" "$root/usr/local/bin" "$root/usr/local/share" "$root/var/lib/dpkg/status.d"
# On Debian /lib and /lib64 are links into /usr, and the loader's name goes through one of them.
for link in /lib /lib64; do [ ! -L "$link" ] || cp -a "$link" "$root/"; done

folder=/usr/lib/$(uname -m)-linux-gnu
for package in "$@"; do dpkg -L "$package"; done | sed -n "s|^\(/usr\)\{0,1\}/lib/[^/]*/\(lib[^/]*\.so\.[0-9.]*\)$|$folder/\2|p" \
    | sort -u > /tmp/wanted
{ cat /tmp/wanted; xargs -n 1 ldd < /tmp/wanted | grep -o '/[^ ]*'; } | sort -u > /tmp/libraries
while read -r library; do
    # As linked to, and what the link leads to.
    named=$(realpath "$(dirname "$library")")/$(basename "$library")
    for file in "$named" "$(realpath "$named")"; do
        mkdir -p "$root$(dirname "$file")"
        cp -a "$file" "$root$file"
        dpkg -S "*/$(basename "$file")" | sed 's/:.*//' >> /tmp/packages
    done
done < /tmp/libraries

echo ca-certificates >> /tmp/packages
sort -u /tmp/packages | while read -r package; do
    dpkg-query -s "$package" > "$root/var/lib/dpkg/status.d/$package"
    mkdir -p "$root/usr/share/doc/$package"
    cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
cp /etc/ssl/openssl.cnf "$root/etc/ssl/"
ln -s /etc/ssl/certs "$root/usr/lib/ssl/certs"
ln -s /etc/ssl/openssl.cnf "$root/usr/lib/ssl/openssl.cnf"
# Where OpenSSL looks for one file with all of them, instead of a folder with a link for each.
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
cp /usr/lib/os-release "$root/usr/lib/"
ln -s ../usr/lib/os-release "$root/etc/os-release"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/usr/sbin/nologin\nfreshet:x:65532:65532:freshet:/data:/usr/sbin/nologin\n' > "$root/etc/passwd"
printf 'root:x:0:\nfreshet:x:65532:\n' > "$root/etc/group"
install -d -o 65532 -g 65532 "$root/data"
install -d -m 1777 "$root/tmp"
