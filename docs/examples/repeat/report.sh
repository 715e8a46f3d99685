if [ "$1" = Bergen ] && [ ! -e asked ]; then
  touch asked
  echo "no answer from Bergen" >&2
  exit 1
fi
echo "report of $1" > "$1.txt"
