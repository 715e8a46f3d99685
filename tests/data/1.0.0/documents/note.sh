# note.sh NAME [fail|hang]: writes NAME down. Until the file `mended` is there, `fail` fails and `hang` never ends.
mkdir -p "$EFFECTS"
echo "$1" >> "$EFFECTS/$AETHERFLOW_FLOW_ID"
echo "said $1"
[ "$2" != fail ] || [ -e "$EFFECTS/mended" ] || exit 3
if [ "$2" = hang ] && [ ! -e "$EFFECTS/mended" ]; then
  touch "$EFFECTS/$AETHERFLOW_FLOW_ID.hangs"
  exec sleep 600
fi
