#!/bin/busybox sh
# The guest's first program: mounts what is to be mounted, then reads a command a line from the console,
# runs it, and says how it ended between two record separators (octal 036).
export PATH=/bin HOME=/ TERM=dumb NO_COLOR=1
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up
exec </dev/console >/dev/console 2>&1
if grep -q toe.shell /proc/cmdline; then
    for module in $(cat /etc/modules); do insmod "/lib/modules/$module.ko"; done
    echo "The NIC waits for its driver: toe devices; toe bind BDF; toe serve --device vfio:BDF --addr 192.0.2.2/24 /srv"
    echo "Leave with: poweroff -f"
    setsid cttyhack sh
    poweroff -f
fi
stty -echo -onlcr
printf '\0360\036\n'
while IFS= read -r line; do
    eval "$line" </dev/null
    printf '\036%d\036\n' $?
done
poweroff -f
