/** Which elements are visible now. */
import { type ReadonlySignal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

const followed = new Map<Element, (seen: boolean) => void>();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) followed.get(target)?.(isIntersecting);
});

/** Whether the element is visible. */
export function useVisible(element: RefObject<Element | null>): ReadonlySignal<boolean> {
  const seen = useSignal(false);
  useEffect(() => {
    const box = element.current as Element;
    followed.set(box, (now) => (seen.value = now));
    observer.observe(box);
    return () => {
      observer.unobserve(box);
      followed.delete(box);
    };
  }, []);
  return seen;
}
